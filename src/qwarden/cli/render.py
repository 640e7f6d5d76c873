"""How a person sees findings and accounts: plain text, coloured on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import typer

from qwarden.formats.transactions import transaction_text

if TYPE_CHECKING:
    from qwarden.detect.scenario import ScenarioSummary

_COLOURS: Final = {"info": "blue", "low": "cyan", "medium": "yellow", "high": "red", "critical": "magenta"}


_FIGURES: Final = {"seconds", "bytes out", "bytes in", "score"}
"""Columns of a table of flows that stand at the right."""

_SAID: Final = 3
"""Transactions that are shown where not everything is."""

_DOUBTS: Final = {
    "ambiguous": "ambiguous: it may be benign as well; looking at it again did not settle it",
    "confirmed": "was ambiguous; confirmed when it was looked at again",
    "doubtful": "was ambiguous; looked at again, it is more likely benign",
}


def finding_text(finding: Mapping[str, Any], *, full: bool = False) -> str:
    """Return a finding as a few lines; `full` adds every feature and the model's figures."""
    why = finding["explanation"]
    severity = str(finding["severity"])
    head = typer.style(f"{severity.upper():<8}", fg=_COLOURS.get(severity), bold=True)
    technique = f" ({finding['technique']})" if finding["technique"] else ""
    lines = [
        f"{head} {typer.style(why['title'] + technique, bold=True)}  {_who(finding)}",
        f"         {_judgement(finding)}",
    ]
    doubt = _DOUBTS.get(str(finding.get("status", "")))
    if doubt:
        lines.append(f"         {doubt}")
    if why.get("evasion"):
        lines.append(f"         {why['evasion']}")
    lines += [f"         {text}" for text in _context_texts(finding.get("context", {}), full)]
    features = why["features"] if full else why["features"][:3]
    lines += [
        f"         {'why ' if at == 0 else '    '} {feature['text']}" for at, feature in enumerate(features)
    ]
    if why["nearest"]:
        near = ", ".join(f"{n['label']} {n['fidelity']:.3f}" for n in why["nearest"])
        lines.append(f"         like {near}")
    if full:
        lines.append(f"         from {finding['source']}, model {why['model']}")
        lines += [f"         part {name} {value:.6f}" for name, value in why["p_values"].items()]
    lines.append(typer.style(f"         {_when(finding['start'])}  id {finding['id']}", dim=True))
    return "\n".join(lines)


def _judgement(finding: Mapping[str, Any]) -> str:
    """Return what the models said, and how much traffic it was; or who told it instead of them."""
    from qwarden.detect import score_text

    if finding["kind"] == "reported":
        return str(finding["explanation"]["text"])
    threat, twin = score_text(finding["threat_score"]), score_text(finding["twin_score"])
    return f"threat {threat}   twin {twin}   {_size(finding)}"


def _context_texts(context: Mapping[str, Any], full: bool) -> list[str]:
    """Return what is known of a finding's hosts beside, a line each; of what was said some, or `full`."""
    lines = [f"{host} is {note['name']}" for host, note in context.get("assets", {}).items()]
    lines += [
        f"{host} is on the list {note['list']}" + (f": {note['name']}" if note.get("name") else "")
        for host, note in context.get("indicators", {}).items()
    ]
    lines += [f"also told by {r['category']}: {r['signature']}" for r in context.get("reported", ())]
    said = context.get("transactions", [])
    return lines + [f"said {transaction_text(told)}" for told in (said if full else said[:_SAID])]


def _who(finding: Mapping[str, Any]) -> str:
    from qwarden.detect import counted

    source = finding["src_ip"] if finding["sources"] == 1 else f"{counted(finding['sources'])} sources"
    if finding["destinations"] == 0:
        return source
    if finding["destinations"] == 1:
        target = _with_port(finding["dst_ip"], finding["dst_port"])
    else:
        target = f"{counted(finding['destinations'])} hosts"
        if finding["dst_port"] is not None:
            target += f", port {finding['dst_port']}"
    if finding["ports"] > 1 and finding["dst_port"] is None:
        target += f", {counted(finding['ports'])} ports"
    return f"{source} -> {target} {finding['proto']}"


def _with_port(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _size(finding: Mapping[str, Any]) -> str:
    seconds = finding["end"] - finding["start"]
    return (
        f"{finding['flows']:,} flow{'s' * (finding['flows'] != 1)}, {finding['packets']:,} packets, "
        f"{finding['bytes']:,} B in {seconds:,.1f} s"
    )


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def account_text(document: Mapping[str, Any]) -> str:
    """Return what was read, scored, suppressed, dropped and malformed, and how fast."""
    flows = document["flows"]
    found = document["findings"]
    return (
        f"{len(document['sources'])} source{'s' * (len(document['sources']) != 1)}: "
        f"{_read_text(document['sources'])}\n"
        f"{flows['read']:,} flows read = {flows['scored']:,} scored + {flows['suppressed']:,} suppressed "
        f"+ {flows['dropped']:,} dropped + {flows['malformed']:,} malformed\n"
        f"{len(found):,} finding{'s' * (len(found) != 1)} by {document['model']['name']} "
        f"{document['model']['version']} in {document['seconds']:.2f} s{_second_text(document)}"
    )  # fmt: skip


def _second_text(document: Mapping[str, Any]) -> str:
    """Return how many flows the second opinion was asked about and raised; nothing where there is none."""
    second = document.get("second_opinion")
    if not second:
        return ""
    return (
        f"\nsecond opinion {second['model']}: asked about {second['asked']:,} flows that were let pass, "
        f"{second['evading']:,} of them evading"
    )


def _read_text(sources: Sequence[Mapping[str, Any]]) -> str:
    """Return what was read of captures, logs and exporters; what there is none of is not told."""
    packets, lines, records = (
        {key: sum(source[kind][key] for source in sources) for key in sources[0][kind]} if sources else {}
        for kind in ("packets", "lines", "records")
    )
    parts = []
    if lines.get("read"):
        parts = [
            f"{lines['read']:,} lines read, {lines['malformed']:,} malformed, {lines['alerts']:,} alerts"
        ]
    if records.get("datagrams"):
        parts.append(
            f"{records['datagrams']:,} datagrams of {records['read']:,} records read, "
            f"{records['malformed']:,} malformed, {records['undecodable']:,} undecodable, "
            f"{records['lost'] + records['lost_datagrams']:,} lost"
        )
    if packets.get("read") or not parts:
        read, malformed, cut = (packets.get(key, 0) for key in ("read", "malformed", "truncated"))
        parts.insert(0, f"{read:,} packets read, {malformed:,} malformed, {cut:,} truncated")
    return "; ".join(parts)


def flows_text(flows: Sequence[Mapping[str, Any]]) -> str:
    """Return flows as a table of what a person looks at first, a line each; ``-`` for what is unknown."""
    if not flows:
        return "no flows"
    rows = [_flow_cells(flow) for flow in flows]
    names = [name for name in rows[0] if any(row[name] != "-" for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}

    def line(row: Mapping[str, str]) -> str:
        cells = (
            row[name].rjust(widths[name]) if name in _FIGURES else row[name].ljust(widths[name])
            for name in names
        )
        return "  ".join(cells).rstrip()

    return "\n".join([typer.style(line({name: name for name in names}), bold=True), *map(line, rows)])


def _flow_cells(flow: Mapping[str, Any]) -> dict[str, str]:
    from qwarden.detect import score_text

    def amount(name: str) -> str:
        return "-" if flow[name] is None else f"{flow[name]:,}"

    score = flow.get("threat_score")
    return {
        "time (UTC)": _when(flow["start"]).removesuffix(" UTC"),
        "source": flow["src_ip"],
        "destination": _with_port(flow["dst_ip"], flow["dst_port"]),
        "proto": flow["proto"],
        "seconds": f"{flow['end'] - flow['start']:,.3f}",
        "bytes out": amount("bytes_out"),
        "bytes in": amount("bytes_in"),
        "score": "-" if score is None else score_text(score),
        "kind": flow.get("kind") or "-",
        "alarms": "yes" if flow.get("alarming") else "-",
        "flow": flow.get("id", "-"),
    }


def verification_text(found: Mapping[str, Any]) -> str:
    """Return what came of deriving a finding's score again."""
    verdict = "derives again, bit for bit" if found["verified"] else "does NOT derive again"
    stored, derived = found["stored"], found["derived"]
    lines = [f"{found['kind']} {found['id']}: {verdict} (model {derived['model']})"]
    lines += [f"  {name:<12} {'same' if same else 'DIFFERS'}" for name, same in found["checks"].items()]
    lines += [f"  {name:<12} stored {stored[name]!r}, derived {derived[name]!r}" for name in stored]
    if second := found.get("second_opinion"):
        lines.append(f"  second opinion: stored {second['stored']}, derived {second['derived']}")
    return "\n".join(lines)


def scenario_text(summary: ScenarioSummary) -> str:
    """Return what a scenario holds, in a few lines."""
    attacks = ", ".join(f"{attack.label} ({attack.conversations:,})" for attack in summary.attacks)
    return (
        f"{summary.path}: {summary.packets:,} packets, {summary.bytes / 1e6:,.1f} MB, "
        f"{summary.duration_s / 60:.0f} minutes of {summary.hosts} hosts, seed {summary.seed}\n"
        f"{summary.conversations.get('benign', 0):,} benign conversations; attacks: {attacks or 'none'}\n"
        f"labels: {summary.labels}"
    )


def say(text: str) -> None:
    """Write a line to standard error: what a person should know, beside the result."""
    sys.stderr.write(text + "\n")
