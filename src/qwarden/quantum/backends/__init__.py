"""The machines a circuit can run on; each keeps the contract of `qwarden.quantum.backend.Backend`."""
