from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import InputError, UsageError
from qwarden.detect.scenario import KINDS, read_labels, write_scenario


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"seed": 1, "duration_s": 5},
        {"seed": 1, "duration_s": float("nan")},
        {"seed": 1, "hosts": 1},
        {"seed": 1, "hosts": 5_000},
        {"seed": 1, "intensity": 0},
        {"seed": 1, "kinds": ["beacon", "ddos"]},
    ],
)
def test_senseless_arguments_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        write_scenario(tmp_path / "x.pcap", **wrong)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_scenario(tmp_path / "missing" / "x.pcap", 1, duration_s=30, hosts=4, kinds=())
    assert "missing" in str(caught.value)
    with pytest.raises(InputError, match="directory"):
        write_scenario(tmp_path, 1, duration_s=30, hosts=4, kinds=())
    assert list(tmp_path.iterdir()) == []


def test_benign_only(tmp_path: Path) -> None:
    summary = write_scenario(tmp_path / "x.pcap", 4, duration_s=90, hosts=5, kinds=())
    assert list(summary.conversations) == ["benign"]
    assert summary.attacks == ()
    assert np.all(read_labels(summary.labels)["attack_id"] == 0)


def test_chosen_kinds_leave_the_others_as_they_were(tmp_path: Path) -> None:
    whole = write_scenario(tmp_path / "whole.pcap", 6, duration_s=120, hosts=6)
    some = write_scenario(tmp_path / "some.pcap", 6, duration_s=120, hosts=6, kinds=("guessing", "beacon"))
    assert {attack.label for attack in whole.attacks} == set(KINDS)
    assert {attack.label for attack in some.attacks} == {"guessing", "beacon"}
    kept = {attack.attack_id: (attack.label, attack.technique) for attack in whole.attacks}
    assert all(kept[attack.attack_id] == (attack.label, attack.technique) for attack in some.attacks)


def test_the_summary_says_what_the_labels_say(tmp_path: Path) -> None:
    summary = write_scenario(tmp_path / "x.pcap", 8, duration_s=120, hosts=6)
    labels = read_labels(summary.labels)
    assert summary.labels == tmp_path / "x.pcap.labels.csv"
    assert summary.bytes == summary.path.stat().st_size
    assert summary.packets == labels["packets"].sum()
    assert sum(summary.conversations.values()) == len(labels)
    for attack in summary.attacks:
        rows = labels[labels["attack_id"] == attack.attack_id]
        assert attack.packets == rows["packets"].sum()
        assert summary.start <= attack.start <= attack.end <= summary.start + summary.duration_s


def test_busier_people_make_more_traffic(tmp_path: Path) -> None:
    calm, busy = (
        write_scenario(tmp_path / "x.pcap", 3, duration_s=300, hosts=8, intensity=share, kinds=())
        for share in (0.3, 3)
    )
    assert busy.conversations["benign"] > 1.5 * calm.conversations["benign"]


def test_a_tap_that_misses_packets_loses_that_share_and_labels_what_is_left(tmp_path: Path) -> None:
    whole = write_scenario(tmp_path / "whole.pcap", 5, duration_s=60, hosts=6, kinds=("scan_vertical",))
    lossy = write_scenario(
        tmp_path / "lossy.pcap", 5, duration_s=60, hosts=6, kinds=("scan_vertical",), missed=0.25
    )
    assert lossy.packets / whole.packets == pytest.approx(0.75, abs=0.03)
    assert lossy.packets == int(read_labels(lossy.labels)["packets"].sum())
    with pytest.raises(UsageError, match="missed packets"):
        write_scenario(tmp_path / "none.pcap", 5, missed=1.0)
