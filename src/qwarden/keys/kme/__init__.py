"""Key management entity: ETSI GS QKD 014 over mutual TLS, and the keys it gives out once.

In: keys of blocks that both ends of a link accepted (`KeyStore.add`, or handed to a running entity by
`operator`). Out: keys for applications, and events about the pools. Read in this order: `store` (single
delivery), `entity` (how a key gets to two places), `requests` (the standard's data), `http` and `server`
(the way there), `serving` (all of it as one process); `vault`, `pki`, `renewal` and `client` stand by
themselves.
"""
