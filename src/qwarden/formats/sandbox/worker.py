"""The other side: the host of reading processes, and a reading process.

The host loads NumPy, Numba and the readers once, then forks a fresh, locked-down process for every
source. It never reads one itself, so nothing a source does to its reader carries over to the next. It
stops when its control socket closes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import stat
import sys

import numpy as np

from qwarden.formats.accounting import SourceReport
from qwarden.formats.flows import FLOW
from qwarden.formats.mapping import Mapping, mapping_of
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.meter.state import STATE, Rows
from qwarden.formats.readers.batches import RawBatch
from qwarden.formats.readers.bytes import Bytes
from qwarden.formats.readers.capture import BUFFER
from qwarden.formats.readers.cut import CutStream, PacketFilter
from qwarden.formats.readers.opening import open_stream
from qwarden.formats.readers.recognise import recognise
from qwarden.formats.readers.sources import DescriptorSource
from qwarden.formats.readers.warm import warm_up
from qwarden.formats.sandbox.converter import program_for, start
from qwarden.formats.sandbox.cutting import CutMessage, encode_cut
from qwarden.formats.sandbox.lockdown import DESCRIPTORS, Held, attempt_escapes, lock_down
from qwarden.formats.sandbox.wire import Message, encode
from qwarden.formats.wanted import CUT, MOST_WANTED, WANTED

_CAPTURE, _PIPE, _NULL = range(DESCRIPTORS)
_SPARE_MEMORY = 256 << 20
_MOST_TASK = 1 << 16


def _memory(settings: MeterSettings) -> int:
    """Return the address space a reader needs beyond what the host has: tables, buffer, slack."""
    return settings.max_flows * (STATE.itemsize + 64) + 2 * BUFFER + _SPARE_MEMORY


def _write_all(data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(_PIPE, rest) :]


def _say(message: Message, batch: RawBatch) -> None:
    header, body = encode(message, batch.flows)
    _write_all(header)
    if len(body):
        _write_all(body)


def _read(
    settings: MeterSettings,
    mapping: Mapping | None,
    held: list[Held],
    patient: bool,
    converter: str,
    said: bool,
) -> None:
    """Read the source and tell the parent; `patient` if the input may make us wait."""
    cage = [measure.as_dict() for measure in held]
    report = SourceReport("")
    nothing = RawBatch(np.empty(0, FLOW), 0, 0)

    def message(batch: RawBatch, last: bool = False) -> Message:
        names = "\n".join(batch.flow_ids)
        return Message(
            report, batch.watermark_ns, batch.epoch, cage, last, batch.alerts, names, batch.transactions
        )

    def waiting() -> None:
        _say(message(nothing), nothing)  # the watermark of the last batch still holds

    waiting()
    cage = []
    try:
        source = DescriptorSource(_CAPTURE, waiting if patient else None)
        complaints = _converter_said if said else None
        stream = open_stream(source, settings, mapping=mapping, converter=converter, complaints=complaints)
        report = stream.report
        for batch in stream:
            _say(message(batch), batch)
            nothing = RawBatch(nothing.flows, batch.watermark_ns, batch.epoch)
    except Exception as error:
        # A last word before it ends: out of memory, or a fault of ours.
        report.note(f"the reading process failed: {type(error).__name__}: {str(error)[:200]}")
        waiting()
        raise
    _say(message(nothing, last=True), nothing)


def _cut(wanted: PacketFilter, held: list[Held], patient: bool) -> None:
    """Cut packets from the capture and hand them to the parent; `patient` if the input may make us wait."""
    cage = [measure.as_dict() for measure in held]
    report, total = SourceReport(""), 0
    no_cuts, no_data = np.empty(0, CUT), np.empty(0, np.uint8)

    def say(cuts: Rows = no_cuts, data: Bytes = no_data, last: bool = False) -> None:
        for part in encode_cut(CutMessage(report, cuts.size, total, cage, last), cuts, data):
            if len(part):
                _write_all(part)

    say()
    cage = []
    try:
        found = recognise(DescriptorSource(_CAPTURE, say if patient else None))
        if found.kind in ("pcap", "pcapng"):
            stream = CutStream(found, wanted)
            report = stream.report
            for batch in stream:
                total += batch.cuts.size
                say(batch.cuts, batch.data)
        else:
            report.note(found.source.fault or "byte 0: it is no capture: no packets can be cut from it")
    except Exception as error:
        report.note(f"the reading process failed: {type(error).__name__}: {str(error)[:200]}")
        say()
        raise
    say(last=True)


def _filter(descriptor: int, settings: MeterSettings) -> PacketFilter:
    """Read the parent's filter and make it ready, before the process gives up what compiling needs."""
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        rows = np.frombuffer(file.read(MOST_WANTED * WANTED.itemsize), WANTED)
    PacketFilter.warm_up()
    return PacketFilter(rows, round(settings.idle_timeout_s * 1e9))


def _converter_said() -> bytes:
    """Return what a converter wrote to its standard error, whose pipe stands in for the null device."""
    try:
        return os.read(_NULL, 1000)
    except OSError:  # nothing, and it has not ended
        return b""


def _become_reader(capture: int, pipe: int, task: dict[str, object], wanted: int | None = None) -> None:
    """Keep three descriptors, give up the rest, read. Never returns."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        settings = MeterSettings(**task["settings"])  # type: ignore[arg-type]
        packets = None if wanted is None else _filter(wanted, settings)
        null = os.open(os.devnull, os.O_RDWR)
        # Move them out of the way first, so that none is overwritten before it is copied.
        high = [os.dup(fd) for fd in (capture, pipe, null)]
        for target, fd in enumerate(high):
            os.dup2(fd, target)
        os.closerange(DESCRIPTORS, 1 << 16)
        columns = task["mapping"]
        mapping = mapping_of(columns) if isinstance(columns, dict) else None
        converter, converted = program_for(_CAPTURE) if packets is None else ("", False)
        if converted:
            for target, fd in zip((_CAPTURE, _NULL), start(converter, _CAPTURE), strict=True):
                os.dup2(fd, target)
            os.closerange(DESCRIPTORS, 1 << 16)
        patient = not stat.S_ISREG(os.fstat(_CAPTURE).st_mode)
        held = lock_down(_memory(settings))
        if task["probe"]:
            held += attempt_escapes()
        if packets is None:
            _read(settings, mapping, held, patient, converter, converted)
        else:
            _cut(packets, held, patient)
        status = 0
    except BaseException:
        # The parent sees that no last message came. There is nobody to show a trace to.
        status = 1
    finally:
        os._exit(status)


def _reap(_signal: int = 0, _frame: object = None) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve(control: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        request, received, _flags, _address = socket.recv_fds(control, _MOST_TASK, 3)
        if not request:
            return
        capture, pipe, *wanted = received
        # A child must not be reaped before its pidfd is taken.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            control.close()
            _become_reader(capture, pipe, json.loads(request), *wanted)
        for fd in received:
            os.close(fd)
        handle = []
        with contextlib.suppress(OSError, AttributeError):
            handle = [os.pidfd_open(pid)]
        socket.send_fds(control, [str(pid).encode()], handle)
        for fd in handle:
            os.close(fd)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def main() -> None:
    """Serve the control socket whose descriptor is the last argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    control = socket.socket(fileno=int(sys.argv[-1]))
    warm_up()
    gc.collect()
    gc.freeze()
    control.send(b"ready")
    _serve(control)
