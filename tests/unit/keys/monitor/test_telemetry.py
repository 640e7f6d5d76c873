from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import InputError, ServiceError
from qwarden.keys.monitor.telemetry import LEARNT, TelemetryMonitor, poll, read_csv


def usual(rows: int, seed: int = 0, **columns: float) -> list[dict[str, float | str | None]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "time": f"t{at}",
            "qber": 0.02 + 5e-4 * rng.normal(),
            "rate": 1e4 * (1 + 0.03 * rng.normal()),
            **columns,
        }
        for at in range(rows)
    ]


def test_the_first_rows_are_learnt_and_the_usual_is_silent() -> None:
    found = [verdict.status for verdict in TelemetryMonitor().watch(usual(300))]
    assert found[:LEARNT] == ["learning"] * LEARNT
    assert found[LEARNT:].count("alarm") <= 1


def test_errors_that_jump_raise_an_alarm_and_are_not_learnt() -> None:
    monitor = TelemetryMonitor()
    list(monitor.watch(usual(40)))
    for _ in range(5):
        verdict = monitor.inspect({"time": "x", "qber": 0.06, "rate": 1e4})
        assert verdict.status == "alarm"
        assert verdict.alarm is not None
        assert "more errors" in verdict.alarm.seen[0]
    assert monitor.inspect(usual(1)[0]).status == "usual"


def test_loss_alone_is_no_alarm() -> None:
    monitor = TelemetryMonitor()
    list(monitor.watch(usual(40)))
    assert monitor.inspect({"qber": 0.02, "rate": 5e3}).status == "usual"


def test_slow_drift_is_followed() -> None:
    rows = usual(400)
    for at, row in enumerate(rows):
        row["qber"] = float(row["qber"] or 0) + 5e-5 * at
    assert [verdict.status for verdict in TelemetryMonitor().watch(rows)].count("alarm") <= 1


def test_what_is_missing_is_unknown_and_never_usual() -> None:
    monitor = TelemetryMonitor()
    list(monitor.watch(usual(40)))
    nothing = monitor.inspect({"time": "x"})
    assert (nothing.status, nothing.known) == ("unknown", ())
    some = monitor.inspect({"rate": 1e4, "watchdog": 1.0})
    assert some.status == "usual"
    assert some.known == ("loss",)  # the watchdog was never seen before


def test_csv_is_read_with_its_gaps(tmp_path: Path) -> None:
    path = tmp_path / "link.csv"
    path.write_text("time, QBER ,rate,colour\n1,0.02,10000,red\n2,,nan,\n")
    assert list(read_csv(path)) == [{"time": "1", "qber": 0.02, "rate": 10000.0}, {"time": "2"}]


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("time,colour\n1,red\n", "line 1", "no column is understood"),
        ("", "line 1", "no column is understood"),
        ("time,qber\n1,0.02\n2,two\n", "line 3", "qber: expected a number"),
        ("time,qber\n1,0.7\n", "line 2", "0 to 0.5"),
        ("time,qber\n1,inf\n", "line 2", "qber"),
        ("time,qber\n1\n", "line 2", "2 fields"),
        ("time,qber\n1,0.1,5\n", "line 2", "2 fields"),
    ],
)
def test_bad_csv_is_refused_with_its_line(tmp_path: Path, text: str, place: str, problem: str) -> None:
    path = tmp_path / "link.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as caught:
        list(read_csv(path))
    assert caught.value.place == place


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        list(read_csv(tmp_path / "none.csv"))
    (tmp_path / "b.csv").write_bytes(b"qber\n\xff\xfe\n")
    with pytest.raises(InputError):
        list(read_csv(tmp_path / "b.csv"))


@contextmanager
def serving(*answers: object) -> Iterator[str]:
    """Answer each question with the next of `answers`: bytes as they are, a number as a status, else JSON."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = left.pop(0)
            self.send_response(answer if isinstance(answer, int) else 200)
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_an_address_is_polled_and_no_row_taken_twice() -> None:
    first, second = {"time": "1", "qber": 0.02}, {"time": "2", "qber": 0.03}
    with serving(first, [first, second]) as url:
        assert list(poll(url, every_s=0, rows=2)) == [first, second]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"<html>", InputError), ([5], InputError), ({"qber": "x"}, InputError), (500, ServiceError)],
)
def test_a_bad_answer_is_refused(answer: object, error: type[Exception]) -> None:
    with serving(answer) as url, pytest.raises(error):
        list(poll(url, every_s=0, rows=1))
