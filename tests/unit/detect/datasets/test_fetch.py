"""Downloads: what a real HTTPS server on this machine may do wrong, and what is never put in place."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.formats.deliveries.receivers import certificate

from qwarden.cli.main import main
from qwarden.core.errors import InputError, ServiceError, UsageError
from qwarden.detect.datasets import catalogue as catalogue_module
from qwarden.detect.datasets import cic_sample
from qwarden.detect.datasets import fetch as fetch_module
from qwarden.detect.datasets.catalogue import DataSet, catalogue, find_set, read_catalogue
from qwarden.detect.datasets.cic_sample import CONTENT_SHA256, content_sha256
from qwarden.detect.datasets.fetch import check_files, fetch, files_of, manifest

TEXT = b"".join(b"row %d of a public table\n" % n for n in range(5000))


@dataclass
class Site:
    """An HTTPS server: what it has, how it answers, what it was asked."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server whose authority this process trusts, the way an administrator would say so."""
    authority, chain = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.asked.append(self.path)
            state.headers.append(dict(self.headers))
            if self.path in state.answers:
                state.answers[self.path](self)
            else:
                whole(self, state.files.get(self.path, b""), 200 if self.path in state.files else 404)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def whole(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def entry(site: Site, path: str, body: bytes = TEXT, **changes: Any) -> dict[str, Any]:
    site.files[f"/{path}"] = body
    told = {
        "path": path, "url": site.url(f"/{path}"), "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }  # fmt: skip
    return told | changes


def data_set(tmp_path: Path, *files: dict[str, Any], **changes: Any) -> DataSet:
    words = dict.fromkeys(("title", "cite", "home", "origin", "terms"), "Said here.")
    told = {"name": "small", **words, "restricted": False, "files": list(files), **changes}
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps([told]))
    return read_catalogue(path)[told["name"]]


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_are_put_where_measures_look(site: Site, tmp_path: Path) -> None:
    files = [entry(site, "Train+.txt", pack=True), entry(site, "sub/plain.bin", bytes(range(256)) * 300)]
    files[0]["path"] += ".gz"
    data, to = data_set(tmp_path, *files), tmp_path / "data"
    done = fetch(data, to)
    assert (done.written, done.kept) == (("Train+.txt.gz", "sub/plain.bin"), ())
    assert left(to / "small") == ["SOURCE.txt", "Train+.txt.gz", "sub/plain.bin"]
    packed = (to / "small" / "Train+.txt.gz").read_bytes()
    assert gzip.decompress(packed) == TEXT
    assert packed[3:8] == bytes(5)  # neither a name nor a time: the same bytes every time
    assert data.files[0].sha256 in (to / "small" / "SOURCE.txt").read_text()
    assert all(headers["Accept-Encoding"] == "identity" for headers in site.headers)
    asked = len(site.asked)
    again = fetch(data, to)
    assert (again.written, again.kept, len(site.asked)) == ((), done.written, asked)
    check_files(data, to / "small")
    (to / "small" / "Train+.txt.gz").unlink()
    with pytest.raises(InputError, match=r"Train\+\.txt\.gz: is missing; `qwarden data fetch small`"):
        check_files(data, to / "small")
    assert fetch(data, to).written == ("Train+.txt.gz",)
    assert (to / "small" / "Train+.txt.gz").read_bytes() == packed


def short(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(TEXT)))
    handler.end_headers()
    handler.wfile.write(TEXT[:70_000])
    handler.close_connection = True


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    try:
        for _ in range(100_000):
            handler.wfile.write(TEXT)
        raise AssertionError("a server may send what it likes for as long as it likes")
    except OSError:
        pass  # hung up on


def redirect(target: str, status: int = 302) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: whole(handler, b"", status, Location=target)


def bomb(handler: BaseHTTPRequestHandler) -> None:
    whole(handler, gzip.compress(TEXT), Content_Encoding="gzip")


WRONG = {
    "another content": (lambda site: site.files.update({"/a.txt": TEXT[::-1]}), InputError, "SHA-256"),
    "a byte less": (lambda site: site.files.update({"/a.txt": TEXT[:-1]}), InputError, "expected"),
    "a byte more": (lambda site: site.files.update({"/a.txt": TEXT + b"x"}), InputError, "is larger than"),
    "no end": (lambda site: site.answers.update({"/a.txt": endless}), InputError, "is larger than"),
    "cut off": (lambda site: site.answers.update({"/a.txt": short}), ServiceError, "broke off after 65,536"),
    "not there": (lambda site: site.files.clear(), InputError, "answered 404"),
    "broken": (
        lambda site: site.answers.update({"/a.txt": lambda h: whole(h, b"", 503)}), ServiceError, "503"
    ),
    "packed unasked": (lambda site: site.answers.update({"/a.txt": bomb}), InputError, "came packed"),
    "another host": (
        lambda site: site.answers.update({"/a.txt": redirect("https://example.org/a.txt")}),
        InputError, "another host: https://example.org",
    ),
    "another port": (
        lambda site: site.answers.update({"/a.txt": redirect("https://127.0.0.1:1/a.txt")}),
        InputError, "another host",
    ),
    "no https": (
        lambda site: site.answers.update({"/a.txt": redirect(f"http://127.0.0.1:{site.port}/a.txt", 301)}),
        InputError, "another host: http://",
    ),
    "in circles": (
        lambda site: site.answers.update({"/a.txt": redirect("/a.txt")}), InputError, "more than 3 times"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("pack", [False, True])
def test_nothing_wrong_is_put_in_place(name: str, pack: bool, site: Site, tmp_path: Path) -> None:
    data, to = data_set(tmp_path, entry(site, "a.txt", pack=pack)), tmp_path / "data"
    spoil, kind, match = WRONG[name]
    spoil(site)
    with pytest.raises(kind, match=match):
        fetch(data, to)
    assert left(to) == []


def test_a_redirect_within_the_host_is_followed(site: Site, tmp_path: Path) -> None:
    told = entry(site, "a.txt")
    site.files["/b.txt"] = TEXT
    site.answers["/a.txt"] = redirect("/b.txt", 307)
    assert fetch(data_set(tmp_path, told), tmp_path / "data").written == ("a.txt",)


def test_a_server_without_a_known_authority_is_not_asked(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ServiceError, match="certificate verify failed"):
        fetch(data_set(tmp_path, entry(site, "a.txt")), tmp_path / "data")
    assert site.asked == []


def test_a_site_that_is_down_is_a_service_error(site: Site, tmp_path: Path) -> None:
    told = entry(site, "a.txt", url="https://127.0.0.1:1/a.txt")
    with pytest.raises(ServiceError, match="cannot be had"):
        fetch(data_set(tmp_path, told), tmp_path / "data")


def test_what_is_there_is_never_overwritten(site: Site, tmp_path: Path) -> None:
    data, to = data_set(tmp_path, entry(site, "a.txt"), entry(site, "b.gz", pack=True)), tmp_path / "data"
    for name, content in (
        ("a.txt", b"mine"),
        ("b.gz", b"no gzip"),
        ("b.gz", gzip.compress(b"x" * (1 << 22))),
    ):
        (to / "small").mkdir(parents=True, exist_ok=True)
        (to / "small" / name).write_bytes(content)
        with pytest.raises(InputError, match="is another file than https"):
            fetch(data, to)
        assert (to / "small" / name).read_bytes() == content
        (to / "small" / name).unlink()
    assert site.asked == []


def test_no_link_leads_out_of_the_folder(site: Site, tmp_path: Path) -> None:
    data = data_set(tmp_path, entry(site, "sub/a.txt"))
    (tmp_path / "data" / "small").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data" / "small" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="leads out"):
        fetch(data, tmp_path / "data")
    assert left(tmp_path / "elsewhere") == []


def test_a_full_disk_is_said_and_leaves_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, to = data_set(tmp_path, entry(site, "a.txt", size=1 << 30)), tmp_path / "data"
    monkeypatch.setattr(fetch_module, "_SPARE", 1 << 60)
    with pytest.raises(InputError, match="has no room: 1,073,741,824 bytes"):
        fetch(data, to)
    assert site.asked == []
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "receiver-ca.pem"))
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        fetch(data_set(tmp_path, entry(site, "a.txt")), to)
    assert left(to) == []


def test_a_stop_keeps_what_was_complete(site: Site, tmp_path: Path) -> None:
    data, to = data_set(tmp_path, entry(site, "a.txt"), entry(site, "b.txt", TEXT * 20)), tmp_path / "data"

    class Stopping:
        """A progress bar at which the user stops."""

        def task(self, *_: object) -> Stopping:
            return self

        def __enter__(self) -> Stopping:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def advance(self, amount: float = 1, note: str = "") -> None:
            if note == "b.txt":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(data, to, progress=Stopping())  # type: ignore[arg-type]
    assert left(to) == ["small/a.txt"]
    assert fetch(data, to).written == ("b.txt",)


def test_terms_that_restrict_are_accepted_first(site: Site, tmp_path: Path) -> None:
    data = data_set(tmp_path, entry(site, "a.txt"), restricted=True, terms="For study alone.")
    with pytest.raises(UsageError, match=r"For study alone\. .*--accept-terms"):
        fetch(data, tmp_path / "data")
    assert site.asked == []
    assert fetch(data, tmp_path / "data", accept_terms=True).written == ("a.txt",)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"path": "../a.txt"}, "leads out"), ({"path": "/etc/a.txt"}, "leads out"),
        ({"path": "sub/../../a"}, "leads out"), ({"path": ""}, "leads out"), ({"path": "a\\b"}, "leads out"),
        ({"url": "http://127.0.0.1/a"}, "no https"), ({"url": "https:///a"}, "no https"),
        ({"url": "file:///etc/passwd"}, "no https"), ({"url": "https://me@example.org/a"}, "no https"),
        ({"size": 0}, "expected 1 to"), ({"size": 1 << 40}, "expected 1 to"),
        ({"sha256": "ab"}, "no SHA-256"),
    ],
)  # fmt: skip
def test_an_impossible_entry_is_refused(
    changes: dict[str, Any], match: str, site: Site, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=match):
        data_set(tmp_path, entry(site, "a.txt") | changes)
    with pytest.raises(InputError, match="name of a folder"):
        data_set(tmp_path, entry(site, "a.txt"), name="../up")


def test_the_command_fetches_and_lists(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = data_set(tmp_path, entry(site, "a.txt"), restricted=True, terms="For study alone.")
    monkeypatch.setattr(catalogue_module, "catalogue", lambda: {"small": data})
    home, to = ["--home", str(tmp_path / "home")], ["--to", str(tmp_path / "data")]

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*home, "data", *arguments])
        return (code, *capsys.readouterr())

    code, _, said = run("fetch", "small", *to)
    assert (code, "For study alone." in said) == (2, True)
    assert run("fetch", "other", *to)[0] == 2
    code, out, said = run("fetch", "small", *to, "--accept-terms")
    assert (code, "1 files written" in out, "QWARDEN_DATA=" in said) == (0, True, True)
    code, out, _ = run("fetch", "small", *to, "--accept-terms", "--json")
    assert json.loads(out)["sets"][0]["kept"] == ["a.txt"]
    (listed,) = json.loads(run("list", *to, "--json")[1])["sets"]
    assert (listed["here"], listed["files"], listed["accept_terms"]) == (1, 1, True)
    monkeypatch.setenv("QWARDEN_DATA", str(tmp_path / "data"))
    assert "1 of 1 files here; needs --accept-terms" in run("list")[1]
    site.files.clear()
    (tmp_path / "data" / "small" / "a.txt").unlink()
    assert run("fetch", "small", "--accept-terms")[0] == 3


# The catalogue that ships


def test_the_catalogue_is_sound() -> None:
    sets = catalogue()
    assert list(sets) == [
        "nsl-kdd", "unsw-nb15", "cic-ids2017-improved", "nf-bot-iot-v2-reduced", "pcaps", "slips-dataset",
        "zeek-labelled-stratosphere",
    ]  # fmt: skip
    for data in sets.values():
        paths = [file.path for file in data.files]
        assert len(set(paths)) == len(paths)
        assert data.terms.endswith(".")
        for file in data.files:
            # A pinned commit of a public repository: what is there cannot change.
            assert file.url.startswith("https://raw.githubusercontent.com/")
            assert len(file.url.split("/")[5]) == 40
            assert file.path.endswith(".gz") or not file.pack
    assert {name for name, data in sets.items() if data.restricted} == {"unsw-nb15", "nf-bot-iot-v2-reduced"}
    with pytest.raises(UsageError, match="there is no data set x; expected one of nsl-kdd"):
        find_set("x")


@pytest.mark.data
@pytest.mark.parametrize("name", list(catalogue()))
def test_hashes_are_those_of_the_data_measured_on(name: str, data_dir: Path) -> None:
    """What would be downloaded is, byte for byte, what the published figures stand on."""
    data = find_set(name)
    if data.builder:
        table = pl.read_parquet(data_dir / name / files_of(data)[0])
        assert content_sha256(table) == CONTENT_SHA256
        return
    check_files(data, data_dir / name)
    for file in data.files:
        content = (data_dir / name / file.path).read_bytes()
        content = gzip.decompress(content) if file.pack else content
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256), file.path


@pytest.mark.data
def test_the_manifest_is_the_one_of_the_captures(data_dir: Path) -> None:
    data = find_set("pcaps")
    written = list(csv.reader(manifest(data).splitlines()))
    assert written == list(csv.reader((data_dir / "pcaps" / "MANIFEST.csv").read_text().splitlines()))
    assert len(written) == 1 + len(data.files) == 26


def draw_of(rows: list[tuple[str, int, float, str]]) -> bytes:
    lines = [f"{stamp},{number},{part},{label}" for stamp, number, part, label in rows]
    return ("Timestamp,id,part,Label\n" + "\n".join(lines) + "\n").encode()


def test_a_built_set_is_checked_by_its_rows(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the first draw, what only the second has, three days, in order of time."""
    first = [("2017-07-05 10:00:00", 1, 0.5, "x"), ("2017-07-06 10:00:00", 2, 0.5, "x")]
    second = [("2017-07-03 10:00:00", 1, 0.5, "x"), ("2017-07-05 10:00:00", 1, 0.5, "x")]
    parts = [entry(site, "A/x.csv", draw_of(first)), entry(site, "B/x.csv", draw_of(second))]
    data, to = data_set(tmp_path, *parts, builder="cic_ids2017"), tmp_path / "data"
    with pytest.raises(InputError, match=f"came out with rows of SHA-256 .* expected {CONTENT_SHA256}"):
        fetch(data, to)
    assert left(to) == []
    expected = pl.DataFrame(
        {
            "Timestamp": ["2017-07-03 10:00:00", "2017-07-05 10:00:00"], "id": [1, 1], "part": [0.5, 0.5],
            "Label": ["x", "x"], "source_sample": ["B", "A"],
        }
    )  # fmt: skip
    monkeypatch.setattr(cic_sample, "CONTENT_SHA256", content_sha256(expected))
    done = fetch(data, to)
    assert done.written == ("cicids2017_mon_wed.parquet",)
    assert pl.read_parquet(done.folder / done.written[0]).equals(expected)
    assert left(to) == ["small/SOURCE.txt", "small/cicids2017_mon_wed.parquet"]
    with pytest.raises(InputError, match="is there already"):
        fetch(data, to)
