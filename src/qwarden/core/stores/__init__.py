"""Stores, one module a database; their contract is `qwarden.core.store.Store`."""
