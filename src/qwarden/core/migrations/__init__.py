"""Migrations of the store's tables, applied by `qwarden.core.stores.schema` when a store is opened."""
