from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from qwarden.core.errors import Interrupted
from qwarden.core.progress import SILENT, interruptible, terminal_progress

SHOW = """
from qwarden.core.progress import terminal_progress
progress = terminal_progress()
with progress.task("outer", total=2) as outer, progress.task("inner") as inner:
    inner.advance(3, note="loss 0.21")
    outer.advance()
print("done")
"""


def test_a_terminal_sees_bars_and_a_pipe_sees_nothing() -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", SHOW], stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # what Linux says when the other end is closed
        pass
    assert child.communicate()[0] == b"done\n"
    assert b"outer" in seen
    assert b"inner" in seen
    assert b"loss 0.21" in seen
    piped = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, check=True)
    assert (piped.stdout, piped.stderr) == (b"done\n", b"")


def test_without_a_terminal_progress_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert terminal_progress() is SILENT


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_ctrl_c_raises_a_flag() -> None:
    before = signal.getsignal(signal.SIGINT)
    done = []
    with interruptible() as stop:
        for step in range(10):
            if stop:
                break
            done.append(step)
            if step == 3:
                press()
    assert done == [0, 1, 2, 3]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_ctrl_c_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    after = []
    with pytest.raises(Interrupted), interruptible():  # noqa: PT012 - the second press raises
        press()
        press()
        after.append("went on")
    assert after == []
    assert signal.getsignal(signal.SIGINT) is before


def test_the_wish_is_passed_outwards() -> None:
    with interruptible() as outer:
        with interruptible() as inner:
            press()
        assert inner
        assert outer


def test_in_another_thread_the_flag_stays_down() -> None:
    seen = []

    def work() -> None:
        with interruptible() as stop:
            seen.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
