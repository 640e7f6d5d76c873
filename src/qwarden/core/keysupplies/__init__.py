"""Where keys come from; the contract is `qwarden.core.keysupply`."""
