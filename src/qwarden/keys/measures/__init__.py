"""The key room's figures: importing this registers them; one module a theme."""

from __future__ import annotations

from qwarden.keys.measures import amplification as amplification
from qwarden.keys.measures import cascade as cascade
from qwarden.keys.measures import chain as chain
from qwarden.keys.measures import exchange as exchange
from qwarden.keys.measures import kme as kme
from qwarden.keys.measures import ldpc as ldpc
from qwarden.keys.measures import monitor as monitor
from qwarden.keys.measures import physics as physics
from qwarden.keys.measures import theory as theory
