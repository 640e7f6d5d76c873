"""The page as a person meets it, in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.console.conftest import Console
from tests.unit.console.makers import finding, key_block, link_alarm

from qwarden.core.bus import open_bus
from qwarden.core.store import open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
         "--disable-default-apps", "--disable-domain-reliability", "--no-sandbox", "--disable-gpu",
         "--disable-features=Translate,OptimizationHints,MediaRouter"]  # fmt: skip

LONG_MS = 45_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield running
        running.close()


class Visit:
    """One person's browser, and all it was asked for and complained of."""

    def __init__(self, browser: Browser, console: Console, **options: Any) -> None:
        self.console, self.asked, self.complaints = console, list[str](), list[str]()
        options.setdefault("viewport", {"width": 1280, "height": 800})
        self.context = browser.new_context(ignore_https_errors=True, **options)
        self.page: Page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )

    def sign_in(self) -> Page:
        self.page.goto(self.console.url)
        self.page.get_by_label("Admin password").fill(self.console.password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.locator("[data-count=read]").wait_for(timeout=LONG_MS)
        return self.page

    def counts(self) -> dict[str, int]:
        """Return the traffic figures as they are shown at one moment."""
        shown = self.page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('[data-count]')]"
            ".map(e => [e.dataset.count, e.textContent]))"
        )
        return {name: int(value.replace(",", "")) for name, value in shown.items()}

    def rows(self) -> int:
        return self.page.locator("[data-finding]").count()


@pytest.fixture
def visit(browser: Browser, console: Console) -> Iterator[Visit]:
    made = Visit(browser, console)
    yield made
    made.context.close()


def test_the_first_visit(visit: Visit) -> None:
    """In at the second try; findings come by themselves; one is opened; every flow is accounted for."""
    page = visit.page
    page.goto(visit.console.url)
    assert page.url.endswith("/login")
    page.get_by_label("Admin password").fill("not-the-password")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="That is not the password").wait_for()
    [refused] = visit.complaints  # the browser notes the status of the refusal
    assert "403" in refused
    visit.complaints.clear()

    visit.sign_in()
    page.locator("[data-finding]").first.wait_for(timeout=LONG_MS)
    before, rows = visit.counts(), visit.rows()
    page.wait_for_function(
        "rows => document.querySelectorAll('[data-finding]').length > rows", arg=rows, timeout=LONG_MS
    )
    after = visit.counts()
    assert after["read"] > before["read"]
    for shown in (before, after):
        parts = ("scored", "suppressed", "dropped", "malformed", "waiting")
        assert shown["read"] == sum(shown[part] for part in parts)
        assert shown["scored"] > 0

    row = page.locator("[data-finding]").last
    title = row.locator("a.whole").inner_text()
    scores = row.locator(".score .figure").all_inner_texts()
    assert len(scores) == 2
    assert all(re.fullmatch(r"[01]\.\d{5}", score) for score in scores)
    row.locator("a.whole").click()
    page.get_by_role("heading", level=1, name=title).wait_for()
    for heading in ("Quantum beside twin", "Facts", "Why", "Nearest known flows", "What next"):
        assert page.get_by_role("heading", name=heading).is_visible()
    assert page.locator(".why tbody tr").count() >= 3
    assert page.get_by_text(f"{scores[0]} (twin {scores[1]})").is_visible()
    assert page.get_by_text("qwarden-hybrid").is_visible()

    ours = re.compile(rf"(https|wss)://{re.escape(visit.console.url.split('/')[2])}/")
    assert visit.asked
    assert any(url.startswith("wss:") for url in visit.asked)
    assert [url for url in visit.asked if not ours.match(url) and not url.startswith("data:")] == []
    assert visit.complaints == []


def test_severities_and_themes_are_chosen_by_links_and_buttons(visit: Visit) -> None:
    page = visit.sign_in()
    page.locator("[data-finding]").first.wait_for(timeout=LONG_MS)
    page.get_by_role("navigation", name="Severity").get_by_role("link", name=re.compile("^medium")).click()
    page.wait_for_url("**/?severity=medium")
    badges = page.locator("[data-finding] .badge:visible").all_inner_texts()
    assert set(badges) <= {"medium"}
    for theme in ("light", "dark"):
        page.locator("form[action='/theme'] button").click()
        page.locator(f".theme-{theme}").wait_for()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", dark)[:3])) < 150
    assert visit.complaints == []


def test_what_traffic_and_others_write_stays_text(visit: Visit) -> None:
    """Another process stores a finding that is as hostile as text can be; the page shows it as it is."""
    page = visit.sign_in()
    evil = "<img src=x onerror=\"document.title='owned'\">${1}`{{2}}"
    hostile = finding()
    why = hostile.explanation
    features = [{**why["features"][0], "text": evil, "name": evil}]
    nearest = [{"label": evil, "fidelity": 0.5}]
    hostile = finding(
        src_ip=evil, dst_ip=evil, source=f"/x/{evil}", technique='T1"><b>',
        explanation={**why, "title": evil, "text": evil, "features": features, "nearest": nearest},
    )  # fmt: skip
    store = open_store(visit.console.home)
    open_bus(store).publish(hostile)
    store.close()
    row = page.locator(f"[data-finding='{hostile.id}']")
    row.wait_for(timeout=LONG_MS)
    assert row.locator("a.whole").inner_text() == evil
    assert row.locator("td.address").first.inner_text() == evil
    row.locator("a.whole").click()
    page.get_by_role("heading", level=1, name=evil).wait_for()
    assert page.locator("#content img").count() == page.locator("#content b").count() == 0
    assert page.title() == "Finding · Qwarden"
    assert visit.complaints == []


def test_keys_are_shown_with_their_alarms(visit: Visit) -> None:
    """Blocks and an alarm that another process stores; what a peer wrote stays text."""
    page = visit.sign_in()
    page.get_by_role("navigation", name="Rooms").get_by_role("link", name="Keys").click()
    page.get_by_text("No keys were exchanged yet").wait_for()
    evil = "<b onclick=1>too bright</b>"
    store = open_store(visit.console.home)
    bus = open_bus(store)
    bus.publish(*(key_block(block=f"{k:032x}") for k in range(5)))
    stopped = {"accepted": False, "reason": evil, "qber": 0.12, "secret_bits": 0}
    bus.publish(link_alarm(block="f" * 32, cause=evil), key_block(block="f" * 32, **stopped))
    store.close()
    link = page.get_by_role("region", name="Link a-b")
    link.wait_for(timeout=LONG_MS)
    assert link.get_by_text("stopped: alarm").is_visible()
    assert link.get_by_text("5 of 6").is_visible()
    assert link.get_by_text("1,000", exact=True).is_visible()  # 5 x 51,200 bits
    assert link.locator("circle.dropped").count() == 2
    assert page.locator("#content b").count() == 0
    page.get_by_role("region", name="Alarms").get_by_text(evil).wait_for()
    assert visit.complaints == []


def test_it_fits_a_phone(browser: Browser, console: Console) -> None:
    visit = Visit(browser, console, viewport={"width": 390, "height": 844}, is_mobile=True)
    page = visit.sign_in()
    page.locator("[data-finding]").first.wait_for(timeout=LONG_MS)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0
    page.locator("[data-finding] a.whole").first.click()
    page.get_by_role("heading", name="Quantum beside twin").wait_for()
    assert page.evaluate(wide) <= 0
    visit.context.close()


def test_signing_out_shuts_pages_that_are_open(visit: Visit) -> None:
    page = visit.sign_in()
    other = visit.context.new_page()
    other.goto(visit.console.url)
    other.locator("[data-count=read]").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    frozen = other.locator(".nicegui-error-popup[aria-hidden=false]").first
    frozen.wait_for(timeout=LONG_MS)  # its socket was closed, and no other is opened
    other.reload()
    assert other.url.split("?")[0].endswith("/login")
