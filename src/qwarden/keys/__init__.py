"""The key room: photons in, secret keys out, and a monitor that watches both.

In: what a link's apparatus gives (`physics` simulates one). Out: keys that say what is proved of them,
and events. Start reading at `exchange`, which shows an exchange with its retries; then `party.block`, one
block as each end goes through it; `finite_key`, how many bits are secret; `kme`, who may have them.
"""
