"""The detection room's figures: importing this registers them; one module a protocol."""

from __future__ import annotations

from qwarden.detect.measures import basics as basics
