"""What pages are built of: plain HTML elements, with text that is text."""

from __future__ import annotations

from typing import Any

from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from qwarden.console.pages.words import evidence, rarity
from qwarden.detect import score_text


def box(tag: str, classes: str = "", **attributes: Any) -> Element:
    """Return an element that holds others; use it in a ``with``.

    Attributes are HTML's; ``aria_label`` stands for ``aria-label``, ``for_`` for ``for``.
    """
    return _dressed(Element(tag), classes, attributes)


def text(tag: str, content: str, classes: str = "", **attributes: Any) -> TextElement:
    """Return an element with text in it, which the browser never takes for markup."""
    element = TextElement(tag=tag, text=content)
    _dressed(element, classes, attributes)
    return element


def _dressed(element: Element, classes: str, attributes: dict[str, Any]) -> Element:
    if classes:
        element.classes(classes)
    for name, value in attributes.items():
        if value is not None:
            # Set one by one: a text of several would be parsed, and values may come from traffic.
            element.props[name.rstrip("_").replace("_", "-")] = value
    return element


def link(content: str, to: str, classes: str = "", **attributes: Any) -> TextElement:
    """Return a link."""
    return text("a", content, classes, href=to, **attributes)


def badge(severity: str) -> TextElement:
    """Return a severity, in its colour and in words."""
    return text("span", severity, f"badge {severity}")


LONGEST_BAR = 5.0
"""Orders of magnitude that a full bar stands for."""


def bar(p_value: float, who: str) -> Element:
    """Return a bar as long as a p-value is rare; `who` is ``quantum`` or ``twin``."""
    share = min(evidence(p_value) / LONGEST_BAR, 1.0)
    with box("span", f"track {who}", aria_hidden="true") as track:
        box("span", "fill", style=f"width:{100 * share:.1f}%")
    return track


def score(value: float, who: str) -> Element:
    """Return a score with its bar."""
    with box("span", "score", title=f"{rarity(1 - value)} benign flows look as suspicious") as whole:
        text("span", score_text(value), "figure")
        bar(1 - value, who)
    return whole
