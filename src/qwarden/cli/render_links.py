"""How a person sees the links of a home: a table, drawn once or kept up to date."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.table import Table

    from qwarden.keys.overview import LinkState

WIDTH: Final = 110
COLUMNS: Final = (
    "link", "secret bit/s", "QBER Z", "QBER X", "S", "keys", "tags", "last", "renewal", "alarms",
)  # fmt: skip


def state_line(states: Sequence[LinkState]) -> str:
    """Return all links as one line of JSON."""
    return json.dumps({"links": [asdict(state) for state in states]}, ensure_ascii=False, allow_nan=False)


def links_table(states: Sequence[LinkState], now: float) -> str:
    """Return all links as a table in plain text."""
    from rich.console import Console

    text = StringIO()
    Console(file=text, width=WIDTH, color_system=None).print(_table(states, now))
    return text.getvalue().rstrip("\n")


def shown_live(look: Callable[[], Sequence[LinkState]], every_s: float) -> None:
    """Keep a table up to date on the terminal until interrupted."""
    from rich.live import Live

    with Live(_table(look(), time.time()), auto_refresh=False) as live:
        while True:
            time.sleep(every_s)
            live.update(_table(look(), time.time()), refresh=True)


def _table(states: Sequence[LinkState], now: float) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, caption=_alarms(states, now), caption_justify="left")
    for name in (
        "link",
        "secret bit/s",
        "QBER Z",
        "QBER X",
        "S",
        "keys",
        "tags",
        "last",
        "renewal",
        "alarms",
    ):
        table.add_column(name, justify="left" if name == "link" else "right", no_wrap=True)
    for one in states:
        table.add_row(
            one.link + (" (simulated)" if one.origin == "simulated" else ""),
            _known(one.bits_per_s, "{:,.0f}"),
            _known(one.qber_z, "{:.2%}"),
            _known(one.qber_x, "{:.2%}"),
            _known(one.chsh, "{:.3f}"),
            _known(one.keys, "{:,}"),
            _known(one.tags, "{:,}"),
            _known(one.last_block and now - one.last_block, "{:,.0f} s ago"),
            "-" if one.renewal is None else _renewal(one.renewal - now),
            f"[red]{one.alarms}[/red]" if one.alarms else "0",
        )
    if not states:
        table.add_row("no link has told anything yet")
    return table


def _renewal(seconds: float) -> str:
    return f"in {seconds / 60:.0f} min" if seconds > 0 else "due"


def _alarms(states: Sequence[LinkState], now: float) -> str | None:
    from rich.markup import escape

    lines = [
        f"{one.link}, {now - one.last_alarm:,.0f} s ago: {escape(one.cause)}"
        for one in states
        if one.last_alarm is not None
    ]
    return "\n".join(lines) or None


def _known(value: Any, shape: str) -> str:
    return "-" if value is None else shape.format(value)
