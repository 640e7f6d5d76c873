from __future__ import annotations

import time
from dataclasses import replace

import pytest

from qwarden.core.errors import UsageError
from qwarden.keys.kme.records import Pool
from qwarden.keys.kme.renewal import Renewal
from qwarden.keys.kme.upkeep import SteadyClock

POOL = Pool(peer="b", left=100, theirs=0, waiting=0, renewed=1000.0, used=0)


def test_keys_are_renewed_every_30_minutes_as_in_the_article() -> None:
    assert Renewal().every_s == 1800.0
    assert not Renewal().due(POOL, 2799.9)
    assert Renewal().due(POOL, 2800.0)


def test_keys_are_renewed_by_use() -> None:
    policy = Renewal(after_bytes=640)
    assert not policy.due(replace(POOL, used=639), 1000.0)
    assert policy.due(replace(POOL, used=640), 1000.0) == "640 bytes were drawn since the last keys came"
    assert not Renewal(after_bytes=0).due(replace(POOL, used=1 << 40), 1000.0)
    assert Renewal().due(replace(POOL, renewed=0.0), 5.0) == "no keys have come yet"


def test_low_water_and_age() -> None:
    assert not Renewal(low_water=100).low(POOL)
    assert Renewal(low_water=101).low(POOL)
    assert Renewal(keep_s=60.0).too_old(1000.0) == 940.0
    for wrong in ({"every_s": 0.0}, {"keep_s": float("inf")}, {"every_s": float("nan")}, {"low_water": -1}):
        with pytest.raises(UsageError):
            Renewal(**wrong)  # type: ignore[arg-type]


def test_a_clock_that_somebody_sets_does_not_make_keys_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    before = time.time()
    monkeypatch.setattr(time, "time", lambda: before + 1e6)
    assert abs(clock.now() - before) < 60
