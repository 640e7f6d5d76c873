"""The detection room's figures: importing this registers them; one module a protocol."""

from __future__ import annotations

from qwarden.detect.measures import adversarial as adversarial
from qwarden.detect.measures import basics as basics
from qwarden.detect.measures import nsl_kdd as nsl_kdd
from qwarden.detect.measures import other_networks as other_networks
from qwarden.detect.measures import real_traffic as real_traffic
from qwarden.detect.measures import speed as speed
