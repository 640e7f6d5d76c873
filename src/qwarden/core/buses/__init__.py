"""Buses, one module a way of delivering; their contract is `qwarden.core.bus.Bus`."""
