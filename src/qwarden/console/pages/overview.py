"""The first page: is all traffic accounted for, and what was found in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from fastapi import Request
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from qwarden.console.board import Account, Board, Entry
from qwarden.console.pages.layout import page
from qwarden.console.pages.parts import badge, box, link, score, text
from qwarden.console.pages.words import (
    day_and_time,
    last_part,
    moment,
    number,
    plural,
    sentence,
    source_of,
    span,
    target_of,
)
from qwarden.detect import REPORTED, SEVERITIES, Drift

Refresh = Callable[[], None]

SHOWN: Final = 100
"""Findings shown at once."""

_SOURCES: Final = 12
_RECENT_S: Final = 86_400
"""Traffic time of which drift is told."""

_COMPARISONS: Final = 1000
"""Comparisons that are looked through: an hour of a source is one."""

_PARTS: Final = (
    ("scored", "scored", "looked at by the models"),
    ("suppressed", "suppressed", "of networks that are ignored by the settings"),
    ("dropped", "dropped", "lost on the way to the models"),
    ("malformed", "malformed", "whose times make no sense"),
    ("waiting", "waiting", "held until they are in order of their end"),
)


def overview(request: Request, board: Board, severity: str | None) -> None:
    """Build the page; `severity` chooses findings."""
    chosen = severity if severity in SEVERITIES else None
    with page(request, board) as refresh:
        text("h1", "Overview", "unseen")
        refresh.append(_account(board))
        refresh.append(_findings(board, chosen))
        refresh.append(_sources(board))


def _account(board: Board) -> Refresh:
    with box("section", "card account", aria_labelledby="account-title"):
        with box("div", "title"):
            text("h2", "Traffic", id="account-title")
            records = text("p", "", "aside")
        with box("dl", "sum"):
            read = _term("read", "flows read")
            terms = {}
            for at, (name, label, what) in enumerate(_PARTS):
                text("span", "=" if at == 0 else "+", "sign", aria_hidden="true").classes(f"before-{name}")
                terms[name] = _term(name, label, what)
        with box("div", "stack", aria_hidden="true"):
            shares = {name: box("span", name) for name, *_ in _PARTS}
        drift = text("p", "", "aside drift")
    shown: Account | None = None
    looked: tuple[int, Drift | None] | None = None

    def refresh() -> None:
        nonlocal shown, looked
        if looked != (board.change, board.drift):
            looked, drifts = (board.change, board.drift), recent_drifts(board)
            drift.text = drift_text(drifts)
            drift.classes(replace=f"aside drift {drifts[0].level if drifts else ''}")
            drift.set_visibility(bool(drifts))
        account = board.account()
        if account == shown:
            return
        shown = account
        read.text = number(account.read)
        for name, term in terms.items():
            term.text = number(getattr(account, name))
            share = getattr(account, name) / account.read if account.read else 0
            shares[name].props["style"] = f"width:{100 * share:.3f}%"
            shares[name].update()
        records.text = _records(account)

    refresh()
    return refresh


def recent_drifts(board: Board) -> list[Drift]:
    """Return the newest comparison of each source of the last day of traffic, the worst first."""
    if board.drift is None:
        return []
    since = board.drift.time - _RECENT_S
    newest: dict[str, Drift] = {}
    for found in board.store.events(room=Drift.room, kind=Drift.kind, since=since, limit=_COMPARISONS):
        if isinstance(found, Drift):
            newest.setdefault(found.source, found)
    return sorted(newest.values(), key=lambda found: -found.score_psi)


def drift_text(drifts: Sequence[Drift]) -> str:
    """Return in words how far the traffic that moved most is from what the model was calibrated on.

    Parameters
    ----------
    drifts : of several sources, the worst first.
    """
    if not drifts:
        return ""
    found = drifts[0]
    said = {
        "none": "Traffic scores as at calibration",
        "moderate": "Scores have moved from those at calibration",
        "major": "Scores are far from those at calibration: the false-positive budget does not hold here. "
        "Let the model learn this network (qwarden baseline learn)",
    }[found.level]
    most = next(iter(found.features), "")
    among = f", the worst of {len(drifts)} sources" if len(drifts) > 1 else ""
    return (
        f"{said}. Stability index {found.score_psi:.2f} over {plural(found.flows, 'flow')} of "
        f"{last_part(found.source)}{among}, until {moment(found.time)} UTC; what moved most: "
        f"{most.replace('_', ' ')}."
    )


def _term(name: str, label: str, what: str = "") -> TextElement:
    with box("div", f"term {name}", title=what or None):
        text("dt", label)
        return text("dd", "0", data_count=name)


def _records(account: Account) -> str:
    said = []
    if account.packets_read or not account.lines_read:
        said.append(
            f"{plural(account.packets_read, 'packet')} read, {number(account.packets_malformed)} malformed, "
            f"{number(account.packets_truncated)} truncated"
        )
    if account.packets_lost:
        said.append(f"{plural(account.packets_lost, 'packet')} lost before they could be read")
    if account.lines_read:
        said.append(f"{plural(account.lines_read, 'log line')}, {number(account.lines_malformed)} malformed")
    return "; ".join(said)


def _findings(board: Board, severity: str | None) -> Refresh:
    with box("section", "card findings", aria_labelledby="findings-title"):
        with box("div", "title"):
            text("h2", "Findings", id="findings-title")
            with box("nav", "chips", aria_label="Severity"):
                chips: dict[str | None, TextElement] = {None: _chip("all", "/", severity is None)}
                for name in reversed(SEVERITIES):
                    chips[name] = _chip(name, f"/?severity={name}", severity == name)
        told = text("p", "", "unseen", role="status")
        empty = text("p", "", "empty")
        with box("table", "list") as table:
            with box("thead"), box("tr"):
                for head, kind in (
                    ("Severity", ""), ("Finding", ""), ("Source", ""), ("Target", ""),
                    ("Quantum", ""), ("Twin", ""), ("Flows", "number"), ("Last seen (UTC)", "time"),
                ):  # fmt: skip
                    text("th", head, kind, scope="col")
            rows = _Rows(box("tbody"))
        more = text("p", "", "aside")
    seen = -1

    def refresh() -> None:
        nonlocal seen
        if seen != board.change:
            first, seen = seen < 0, board.change
            entries = board.entries([severity] if severity else ())
            rows.show(entries[:SHOWN], new=not first)
            counts = board.counts()
            for name, chip in chips.items():
                count = sum(counts.values()) if name is None else counts.get(name, 0)
                chip.text = f"{name or 'all'} {count}"
                chip.classes(add="none" if not count else "", remove="none" if count else "")
            told.text = plural(len(entries), "finding")
            hidden = len(entries) - SHOWN
            more.text = f"{plural(hidden, 'older finding')}: qwarden explain ID" if hidden > 0 else ""
            table.set_visibility(bool(entries))
            empty.set_visibility(not entries)
        kind = f"{severity} findings" if severity else "findings yet"
        said = f"No {kind}: {plural(board.account().scored, 'flow')} scored"
        if empty.text != said:
            empty.text = said

    refresh()
    return refresh


def _chip(name: str, to: str, chosen: bool) -> TextElement:
    return link(name, to, "chip", aria_current="page" if chosen else None)


class _Rows:
    """The table's body: what came last stands on top, and what has changed is written anew."""

    def __init__(self, body: Element) -> None:
        self._body = body
        self._rows: dict[str, tuple[Element, int]] = {}

    def show(self, entries: list[Entry], *, new: bool) -> None:
        """Bring the rows in line with the entries; `new` rows are lit up for a moment."""
        wanted = {entry.document["id"]: entry for entry in entries}
        for id in [id for id in self._rows if id not in wanted]:
            self._rows.pop(id)[0].delete()
        for id, entry in reversed(wanted.items()):
            row, change = self._rows.get(id, (None, -1))
            if row is None:
                with self._body:
                    row = box("tr", "fresh" if new else "", data_finding=id)
                row.move(target_index=0)
            if change != entry.change:
                row.clear()
                with row:
                    _cells(entry)
                self._rows[id] = (row, entry.change)


def _cells(entry: Entry) -> None:
    finding = entry.document
    day, time = day_and_time(finding["end"])
    with box("td", data_label="Severity"):
        badge(finding["severity"])
    with box("td", "what", data_label="Finding"):
        link(sentence(finding["explanation"]["title"]), f"/finding/{finding['id']}", "whole")
        with box("span", "below"):
            text("span", finding["technique"] or "")
            if finding.get("status") in ("ambiguous", "doubtful"):
                text("span", finding["status"], "doubt", title="It may be benign as well")
            if not entry.closed:
                text("span", "growing", "open", title="More of its flows may come")
    text("td", source_of(finding), "address", data_label="Source")
    with box("td", "address", data_label="Target"):
        text("span", target_of(finding))
        text("span", finding["proto"], "below")
    judged = finding["kind"] != REPORTED
    for head, name, who in (("Quantum", "threat_score", "quantum"), ("Twin", "twin_score", "twin")):
        with box("td", data_label=head):
            if judged:
                score(finding[name], who)
            else:
                text("span", "told by others", "below")
    text("td", number(finding["flows"]), "number", data_label="Flows")
    with box("td", "time", data_label="Last seen"):
        text("span", time)
        text("span", day, "below")


def _sources(board: Board) -> Refresh:
    with box("details", "card sources"):
        with box("summary"):
            text("h2", "Sources")
            count = text("span", "", "aside")
        with box("table", "list"):
            with box("thead"), box("tr"):
                for head, kind in (
                    ("Source", ""), ("Format", ""), ("Records", "number"), ("Flows", "number"),
                    ("Findings", "number"), ("Took", "number"), ("Read at (UTC)", "time"),
                ):  # fmt: skip
                    text("th", head, kind, scope="col")
            body = box("tbody")
    shown = -1

    def refresh() -> None:
        nonlocal shown
        if shown == board.source_count:
            return
        shown = board.source_count
        count.text = f"{plural(board.source_count, 'source')} read to the end"
        body.clear()
        with body:
            for source in board.sources()[:_SOURCES]:
                with box("tr"):
                    with box("td", "what", data_label="Source"):
                        text("span", last_part(source.name), title=source.name)
                        for problem in source.problems[:3]:
                            text("span", problem, "problem")
                    text("td", source.format or "none", data_label="Format")
                    text(
                        "td", number(source.packets_read + source.lines_read), "number", data_label="Records"
                    )
                    text("td", number(source.flows_read), "number", data_label="Flows")
                    text("td", number(source.findings), "number", data_label="Findings")
                    text("td", span(source.seconds), "number", data_label="Took")
                    text("td", moment(source.time), "time", data_label="Read at")

    refresh()
    return refresh
