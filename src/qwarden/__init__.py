"""Qwarden: a self-hosted security platform whose models run on quantum circuits.

Start reading in `qwarden.cli.main` (what a user can ask for), then follow one packet:
`qwarden.formats` (capture to flows) -> `qwarden.detect` (flows to findings) ->
`qwarden.learn` and `qwarden.quantum` (the models and the circuits under them).
`qwarden.core` holds what every room leans on.
"""

__version__ = "0.2.0"
