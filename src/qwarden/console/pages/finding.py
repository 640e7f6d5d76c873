"""One finding: what it is, how the quantum model and its twin see it, why, and what it resembles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from qwarden.console.board import Board
from qwarden.console.pages.layout import page
from qwarden.console.pages.parts import LONGEST_BAR, badge, box, link, text
from qwarden.console.pages.words import (
    evidence,
    last_part,
    moment,
    plural,
    rarity,
    sentence,
    size,
    source_of,
    span,
    target_of,
    technique_page,
)
from qwarden.detect import REPORTED, next_steps, score_text
from qwarden.detect.feedback.verdicts import verdict_on
from qwarden.formats.transactions import transaction_text

_MEMBERS = {
    "hybrid": ("Hybrid: QNN states in a QSVM", "quantum"),
    "one_class": ("One-class: strangeness among normal traffic", "quantum"),
    "twin": ("Twin, fused: boosting and neighbours", "twin"),
}


_DOUBTS = {
    "ambiguous": "Its score is ambiguous: it may be benign as well; looking at it again did not settle it.",
    "confirmed": "Its score was ambiguous; looking at it again, with more context, confirmed it.",
    "doubtful": "Its score was ambiguous; looking at it again, it is more likely benign.",
}


def finding_page(request: Request, board: Board, finding: Mapping[str, Any], fpr: float) -> None:
    """Build the page of a finding's document; `fpr` is the false-positive budget."""
    why = finding["explanation"]
    with page(request, board):
        link("← All findings", "/", "back")
        with box("section", "head"):
            badge(finding["severity"])
            text("h1", sentence(why["title"]))
            with box("p", "lead"):
                text("span", source_of(finding), "address")
                text("span", "→", "arrow")
                text("span", f"{target_of(finding)} {finding['proto']}", "address")
            text("p", f"{sentence(why['text'])}.", "explanation")
            if said := _DOUBTS.get(finding.get("status", "")):
                text("p", said, "explanation")
            if hidden := why.get("evasion"):
                text("p", f"{sentence(hidden)}.", "explanation")
        judged = finding["kind"] != REPORTED
        with box("div", "columns"):
            if judged:
                _comparison(finding, fpr)
            _facts(finding)
        _context(finding.get("context", {}))
        if judged:
            _features(why)
        _nearest(why)
        _next(finding, board)


def _next(finding: Mapping[str, Any], board: Board) -> None:
    """Say what people made of it, and what to do now."""
    said = verdict_on(board.store, finding["id"])
    with box("section", "card", aria_labelledby="next-title"):
        text("h2", "What next", id="next-title")
        with box("dl", "facts"):
            if said is not None:
                judged = "An attack" if said.attack else "No attack: what is like it is not told again"
                _fact("Judged", f"{judged} ({said.author}, {moment(said.time)} UTC: {said.reason})")
            for what_for, command in next_steps(finding, None if said is None else said.attack):
                text("dt", sentence(what_for))
                with box("dd"):
                    text("code", command)


def _context(context: Mapping[str, Any]) -> None:
    """Say what is known of the hosts beside."""
    if not context:
        return
    with box("section", "card", aria_labelledby="context-title"):
        text("h2", "What else is known", id="context-title")
        with box("dl", "facts"):
            for host, note in context.get("assets", {}).items():
                _fact(host, ", ".join(map(str, note.values())))
            for host, note in context.get("indicators", {}).items():
                _fact(f"{host} is an indicator", ", ".join(map(str, note.values())))
            for told in context.get("reported", ()):
                _fact(f"Told by {told['category']}", told["signature"])
            for told in context.get("transactions", ()):
                _fact("Said within its flows", transaction_text(told))


def _comparison(finding: Mapping[str, Any], fpr: float) -> None:
    quantum, twin = 1 - finding["threat_score"], 1 - finding["twin_score"]
    with box("section", "card", aria_labelledby="comparison-title"):
        text("h2", "Quantum beside twin", id="comparison-title")
        text("p", _verdict(quantum, twin, fpr), "verdict")
        with box("div", "chart"):
            text("h3", "Benign flows of this behaviour that look as suspicious")
            _line("Quantum model", quantum, "quantum", fpr)
            _line("Classical twin", twin, "twin", fpr)
            text("h3", "Each member by itself, among all benign flows")
            for name, p_value in finding["explanation"]["p_values"].items():
                label, who = _MEMBERS.get(name, (name, "quantum"))
                _line(label, p_value, who, fpr)
            _axis(fpr)


def _verdict(quantum: float, twin: float, fpr: float) -> str:
    budget = f"the budget of {rarity(fpr)}"
    if quantum <= fpr and twin <= fpr:
        said = f"Both models alarm: each is within {budget}."
    elif quantum <= fpr:
        said = f"Only the quantum model alarms: its twin is outside {budget}."
    else:
        said = f"The quantum model alarmed under another budget than {rarity(fpr)}."
    if quantum == twin:
        return f"{said} They find it equally unusual."
    stronger = "The quantum model" if quantum < twin else "The classical twin"
    return f"{said} {stronger} finds it more unusual."


def _line(label: str, p_value: float, who: str, fpr: float) -> None:
    share = min(evidence(p_value) / LONGEST_BAR, 1.0)
    with box("div", "line"):
        text("span", label, "label")
        with box("span", f"track {who}", aria_hidden="true"):
            box("span", "fill", style=f"width:{100 * share:.1f}%")
            box("span", "mark", style=f"left:{100 * min(evidence(fpr) / LONGEST_BAR, 1):.1f}%")
        text("span", rarity(p_value), "value")


def _axis(fpr: float) -> None:
    with box("div", "line axis", aria_hidden="true"):
        text("span", "longer is rarer", "label")
        with box("span", "ticks"):
            for power in range(int(LONGEST_BAR) + 1):
                text("span", "1" if power == 0 else f"1 in {10**power:,}", f"tick tick-{power}")
        text("span", "", "value")
    text("p", f"The line marks the false-positive budget, {rarity(fpr)}.", "aside")


def _facts(finding: Mapping[str, Any]) -> None:
    why = finding["explanation"]
    with box("section", "card", aria_labelledby="facts-title"):
        text("h2", "Facts", id="facts-title")
        with box("dl", "facts"):
            if finding["kind"] != REPORTED:
                _fact(
                    "Threat score",
                    f"{score_text(finding['threat_score'])} (twin {score_text(finding['twin_score'])})",
                )
            _fact("First seen", f"{moment(finding['start'])} UTC")
            _fact("Lasted", span(finding["end"] - finding["start"]))
            packets = plural(finding["packets"], "packet")
            _fact("Traffic", f"{plural(finding['flows'], 'flow')}, {packets}, {size(finding['bytes'])}")
            text("dt", "Technique")
            with box("dd"):
                if finding["technique"]:
                    link(
                        f"ATT&CK {finding['technique']}", technique_page(finding["technique"]),
                        target="_blank", rel="noopener noreferrer",
                    )  # fmt: skip
                else:
                    text("span", "none is evident")
            _fact("Capture", last_part(finding["source"]), finding["source"])
            _fact("Model", why["model"])
            _fact("Id", finding["id"])


def _fact(name: str, value: str, more: str | None = None) -> None:
    text("dt", name)
    text("dd", value, title=more)


def _features(why: Mapping[str, Any]) -> None:
    most = max((abs(f["effect"]) for f in why["features"]), default=0) or 1
    with box("section", "card", aria_labelledby="why-title"):
        text("h2", "Why", id="why-title")
        text(
            "p", "What moved the quantum model's score, against the median of benign training traffic. "
            "The effect is what its log-odds lose when that one feature is set back.", "aside",
        )  # fmt: skip
        with box("table", "list why"):
            with box("thead"), box("tr"):
                for head, kind in (("What was seen", ""), ("Usually", "number"), ("Effect", "effect")):
                    text("th", head, kind, scope="col")
            with box("tbody"):
                for feature in why["features"]:
                    _feature(feature, most)


def _feature(feature: Mapping[str, Any], most: float) -> None:
    usual = feature["usual"]
    seen = feature["text"].partition(" (usually")[0]
    with box("tr"):
        with box("td", "what", data_label="Seen"):
            text("span", sentence(seen))
            text("span", feature["name"], "below")
        text("td", "unknown" if usual is None else f"{usual:,.4g}", "number", data_label="Usually")
        with box("td", "effect", data_label="Effect"), box("div", "weighed"):
            sign = "minus" if feature["effect"] < 0 else "plus"
            with box("span", f"track {sign}", aria_hidden="true"):
                box("span", "fill", style=f"width:{100 * abs(feature['effect']) / most:.1f}%")
            text("span", f"{feature['effect']:+.2f}", "figure")


def _nearest(why: Mapping[str, Any]) -> None:
    if not why["nearest"]:
        return
    with box("section", "card", aria_labelledby="nearest-title"):
        text("h2", "Nearest known flows", id="nearest-title")
        text(
            "p", "Training flows whose quantum states are nearest to this one's; fidelity 1: the same state.",
            "aside",
        )  # fmt: skip
        with box("div", "chart"):
            for near in why["nearest"]:
                with box("div", "line"):
                    text("span", sentence(near["label"].replace("_", " ")), "label")
                    with box("span", "track near", aria_hidden="true"):
                        box("span", "fill", style=f"width:{100 * near['fidelity']:.1f}%")
                    text("span", f"{near['fidelity']:.3f}", "value")


def absent_page(request: Request, board: Board) -> None:
    """Build the page of a finding that is not there."""
    with page(request, board), box("section", "card"):
        text("h1", "No such finding")
        text("p", "It is not in this store.")
        link("← All findings", "/", "back")
