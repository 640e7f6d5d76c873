"""Live inputs of `qwarden detect` and `qwarden up`: which listener the options mean, and how it is run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwarden.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qwarden.core.config import Settings
    from qwarden.core.store import Store
    from qwarden.detect import Detection, Detector
    from qwarden.formats.listeners.listener import Listener

InterfaceOption = Annotated[
    str | None,
    typer.Option("--interface", help="Listen on this interface; takes CAP_NET_RAW.", show_default=False),
]
NetflowOption = Annotated[
    str | None,
    typer.Option(
        "--netflow",
        metavar="[HOST:]PORT",
        help="Receive NetFlow v5, v9 and IPFIX over UDP; on the loopback unless a host is given.",
        show_default=False,
    ),
]
FollowOption = Annotated[
    Path | None,
    typer.Option(
        "--follow",
        metavar="FILE",
        help="Read a log or a capture as it grows, through rotations; go on there after a restart.",
        show_default=False,
    ),
]
EveSocketOption = Annotated[
    str | None,
    typer.Option(
        "--eve-socket",
        metavar="[dgram:]PATH",
        help="Take Suricata's EVE events at this UNIX socket.",
        show_default=False,
    ),
]
RedisOption = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        help="Take Suricata's EVE events from Redis: redis://HOST:PORT/DB?key=NAME&mode=list|rpush|channel.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Live:
    """What the options ask for; one of them at most.

    Parameters
    ----------
    interface, netflow, follow, eve_socket, redis : as given.
    """

    interface: str | None = None
    netflow: str | None = None
    follow: Path | None = None
    eve_socket: str | None = None
    redis: str | None = None

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        options = {
            "--interface": self.interface, "--netflow": self.netflow, "--follow": self.follow,
            "--eve-socket": self.eve_socket, "--redis": self.redis,
        }  # fmt: skip
        return [name for name, value in options.items() if value is not None]

    def check(self, *others: str) -> None:
        """Refuse more than one source.

        Parameters
        ----------
        others : what else was given that is a source, in words.

        Raises
        ------
        UsageError
            There are two or more.
        """
        sources = [*others, *self.given]
        if len(sources) > 1:
            raise UsageError(f"{' and '.join(sources)}: one source at a time, not both")

    def listener(self, home: Path, settings: Settings, store: Store) -> Listener:
        """Return the listener that is asked for, not yet opened."""
        keep_bytes = settings.console.spool_mib << 20
        if self.interface is not None:
            from qwarden.formats.listeners.interface import InterfaceListener, spool_folder

            return InterfaceListener(self.interface, spool_folder(home, self.interface), keep_bytes)
        if self.netflow is not None:
            from qwarden.formats.listeners.exports import ExportListener, parse_listen

            host, port = parse_listen(self.netflow)
            folder = home / "spool" / f"netflow-{port}"
            return ExportListener(host, port, folder, keep_bytes)
        if self.follow is not None:
            from qwarden.formats.listeners.follow import FollowListener

            path = self.follow.absolute()
            key = f"follow:{path}"
            return FollowListener(
                path, lambda: store.setting(key), lambda text: store.keep_setting(key, text)
            )
        if self.eve_socket is not None:
            from qwarden.formats.listeners.eve_socket import EveSocketListener

            path = Path(self.eve_socket.removeprefix("dgram:")).absolute()
            return EveSocketListener(path, datagrams=self.eve_socket.startswith("dgram:"))
        if self.redis is not None:
            from qwarden.formats.listeners.eve_redis import EveRedisListener

            return EveRedisListener(self.redis)
        raise UsageError("no live source was given")

    def pipe(self, home: Path) -> Path:
        """Return where the pipe to the reading process appears; of its own for each source."""
        text = "\n".join(str(value) for value in (self.interface, self.netflow, self.follow, self.eve_socket,
                                                  self.redis))  # fmt: skip
        name, folder = sha256(text.encode()).hexdigest()[:16], home / "streams"
        for left in folder.glob(f"{name}-*"):  # by one that was killed
            if not Path("/proc", left.name.rpartition("-")[2]).exists():
                left.unlink(missing_ok=True)
        return folder / f"{name}-{os.getpid()}"

    def hold_s(self, settings: Settings) -> float:
        """Return how long flows are held to be put in order, in wall time."""
        detect = settings.detect
        return detect.idle_timeout_s if self.interface is not None else detect.hold_s


def detect_live(
    detector: Detector,
    listener: Listener,
    pipe: Path,
    *,
    hold_s: float,
    seconds: float | None = None,
    on_ready: Callable[[str], None] | None = None,
    **options: Any,
) -> tuple[Detection, int]:
    """Run a detector over what a listener hears, until interrupted.

    Parameters
    ----------
    listener : not yet opened.
    pipe : where the pipe to the reading process appears.
    hold_s : how long flows are held to be put in order, in wall time.
    seconds : end after so long.
    on_ready : called with the listener's name when it hears.
    options : of `Detector.run`.

    Returns
    -------
    The result, of all sources together, and the exit status of an interrupt: 130 after SIGINT, else 0.

    Raises
    ------
    QwardenError
        The listener cannot be opened, or has ended by itself.
    """
    from qwarden.formats.listeners.session import Ending, listen

    stop, total, failure = threading.Event(), None, None

    def settle(running: Detection) -> None:
        listener.settled(running.settled_lines)

    def read(source: Path) -> Ending:
        nonlocal total
        result = detector.run([source], on_batch=settle, hold_s=hold_s, name=listener.name, **options)
        settle(result)
        total = result if total is None else _together(total, result)
        problem = "" if result.readable else (*result.problems, "nothing could be read")[0]
        return Ending(result.sources[-1] if result.readable else None, problem)

    listener.open()
    if on_ready is not None:
        on_ready(listener.name)
    with _stopping(stop, seconds) as signals:
        try:
            listen(listener, pipe, stop, read)
        except Exception as error:
            failure = error
    if total is None or failure is not None:
        raise failure or UsageError("nothing was read")
    heard = listener.heard
    total.lost = heard.lost
    if heard.lost:
        total.problems.append(f"{listener.name}: {heard.lost:,} packets, datagrams or lines were lost")
    total.problems += [f"{listener.name}: {problem}" for problem in heard.problems]
    return total, 130 if signal.SIGINT in signals else 0


def _together(first: Detection, second: Detection) -> Detection:
    """Return the result of two runs."""
    flows, more = first.flows, second.flows
    for name in ("read", "scored", "suppressed", "dropped", "malformed"):
        setattr(flows, name, getattr(flows, name) + getattr(more, name))
    first.sources += second.sources
    first.findings += second.findings
    first.problems += second.problems
    for name in ("alarming", "asked", "evading"):
        setattr(first, name, getattr(first, name) + getattr(second, name))
    first.readable |= second.readable
    first.seconds += second.seconds
    return first


@contextmanager
def _stopping(stop: threading.Event, seconds: float | None) -> Iterator[list[int]]:
    """Set `stop` at SIGINT or SIGTERM, or when the time is up; yield the signals that came.

    A second signal ends the program at once.
    """
    came: list[int] = []

    def take(number: int, frame: object) -> None:  # noqa: ARG001
        came.append(number)
        stop.set()
        for each, before in old.items():
            signal.signal(each, before)

    old = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    timer = threading.Timer(seconds, stop.set) if seconds is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield came
    finally:
        if timer is not None:
            timer.cancel()
        for number, before in old.items():
            signal.signal(number, before)
