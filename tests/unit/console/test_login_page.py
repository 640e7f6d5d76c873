from __future__ import annotations

from html.parser import HTMLParser

import pytest

from qwarden.console.pages.login import login_html, safe_path


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_it_has_no_script_and_asks_only_us() -> None:
    page = Tags()
    page.feed(login_html("That is not the password."))
    assert "script" not in {tag for tag, _ in page.found}
    for _, attributes in page.found:
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "/").startswith("/")


@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "' onfocus=alert(1) x='", "{problem}"])
def test_what_is_put_in_stays_text(text: str) -> None:
    plain, page = Tags(), Tags()
    plain.feed(login_html())
    page.feed(login_html(text, text, text))
    assert [tag for tag, _ in page.found] == [tag for tag, _ in plain.found]
    assert [sorted(a) for _, a in page.found] == [sorted(a) for _, a in plain.found]


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/finding/../logout",
        "/logout",
        "/\n/x",
        "",
        "x",
    ],
)
def test_only_our_own_pages_are_gone_back_to(path: str) -> None:
    assert safe_path(path) == "/"
