"""A real Redis server of our own, on a UNIX socket; Suricata's side is played by the same client."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwarden.core.errors import ServiceError, UsageError
from qwarden.formats.listeners import eve_redis
from qwarden.formats.listeners.eve_redis import EveRedisListener, parse_target
from tests.unit.formats.listeners.collect import Collector, wait_until


class Server:
    """A server that can be ended and started again; it keeps its data."""

    def __init__(self, folder: Path) -> None:
        import redis

        self.folder = folder
        self.url = f"unix://{folder}/redis.sock"
        self.client: Any = redis.Redis(unix_socket_path=f"{folder}/redis.sock")
        self._errors = redis.RedisError
        self.start()

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", "redis.sock", "--appendonly", "yes", "--save", ""]
        self.process = subprocess.Popen(
            ["redis-server", *options], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers, "the server answers")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except self._errors:
            return False

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("redis", reason="no Redis client here (pip install 'qwarden[redis]')")
    if shutil.which("redis-server") is None:
        pytest.skip("no Redis server here (Debian: apt-get install redis-server)")
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.end()


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(eve_redis, "_LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(eve_redis, "_WAIT_S", (0.02,))
    running.client.flushall()
    return running


def listening(server: Server, options: str = "") -> EveRedisListener:
    listener = EveRedisListener(server.url + options)
    listener.open()
    return listener


def event(number: int) -> bytes:
    return b'{"n":%d}' % number


def numbers(data: bytes) -> list[int]:
    return [int(line[5:-1]) for line in data.splitlines()]


@pytest.mark.parametrize(("mode", "push"), [("list", "lpush"), ("rpush", "rpush")])
def test_a_list_is_taken_oldest_first_and_removed_when_dealt_with(
    server: Server, mode: str, push: str
) -> None:
    put = getattr(server.client, push)
    for at in range(1000):
        put("eve", event(at))
    listener = listening(server, f"?key=eve&mode={mode}")
    taken = Collector(listener)
    wait_until(lambda: listener.heard.lines == 1000, "all have come")
    assert server.client.llen("eve") == 1000  # nothing is removed before it is dealt with
    listener.settled(600)
    wait_until(lambda: server.client.llen("eve") == 400, "what is dealt with is removed")
    for at in range(1000, 1100):
        put("eve", event(at))
    wait_until(lambda: listener.heard.lines == 1100, "what came meanwhile comes once")
    listener.settled(1100)
    data = taken.end()
    assert numbers(data) == list(range(1100))
    assert server.client.llen("eve") == 0


def test_after_a_restart_what_was_not_dealt_with_comes_again(server: Server) -> None:
    server.client.lpush("suricata", *(event(at) for at in range(50)))
    first = listening(server)
    taken = Collector(first)
    wait_until(lambda: first.heard.lines == 50, "all have come")
    first.settled(30)
    taken.end()
    second = listening(server)
    again = Collector(second)
    wait_until(lambda: second.heard.lines == 20, "the rest comes again")
    second.settled(20)
    assert numbers(again.end()) == list(range(30, 50))


def test_a_reader_that_dies_gets_the_same_again_once(server: Server) -> None:
    server.client.lpush("suricata", *(event(at) for at in range(10)))
    listener = listening(server)
    for settled in (4, 0):
        blocks = listener.blocks()
        data = next(block for block in blocks if block)
        assert numbers(data)[-1] == 9
        listener.settled(settled) if settled else None
        listener.died(settled)
    assert server.client.llen("suricata") == 0
    assert listener.heard.lost == 6
    listener.close()


def test_a_channel_is_heard_while_connected(server: Server) -> None:
    listener = listening(server, "?mode=channel")
    taken = Collector(listener)
    wait_until(lambda: server.client.pubsub_numsub("suricata")[0][1] == 1, "it has subscribed")
    for at in range(300):
        server.client.publish("suricata", event(at) + b"\n" * (at % 2))
    wait_until(lambda: listener.heard.lines == 300, "all have come")
    assert numbers(taken.end()) == list(range(300))


@pytest.mark.parametrize("mode", ["list", "channel"])
def test_a_server_that_goes_and_comes_again(server: Server, mode: str) -> None:
    listener = listening(server, f"?mode={mode}")
    taken = Collector(listener)

    def put(number: int) -> None:
        if mode == "list":
            server.client.lpush("suricata", event(number))
            return
        while not server.client.publish("suricata", event(number)):
            time.sleep(0.01)

    put(1)
    taken.wait_for(b"1")
    server.end()
    wait_until(lambda: listener.heard.problems != (), "the loss is noticed")
    server.start()
    put(2)
    taken.wait_for(b'{"n":2}')
    listener.settled(2)
    assert numbers(taken.end()) == [1, 2]
    assert "the connection was lost" in listener.heard.problems[0]


def test_more_than_may_be_undone_waits(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eve_redis, "_MOST_UNSETTLED", 1000)
    server.client.lpush("suricata", *(event(at) for at in range(3000)))
    listener = listening(server)
    taken = Collector(listener)
    wait_until(lambda: listener.heard.lines == 1000, "so many have come")
    time.sleep(0.1)
    assert listener.heard.lines == 1000
    for done in range(500, 3001, 500):
        listener.settled(done)
        wait_until(lambda most=done: listener.heard.lines == min(3000, most + 1000), "more has come")  # type: ignore[misc]
    assert numbers(taken.end()) == list(range(3000))


def test_what_is_refused(server: Server, tmp_path: Path) -> None:
    server.client.set("text", "x")
    with pytest.raises(UsageError, match="the key is a string; expected a list"):
        EveRedisListener(server.url + "?key=text").open()
    with pytest.raises(ServiceError, match=r"--redis unix:///.*nowhere.sock list suricata: "):
        EveRedisListener(f"unix://{tmp_path}/nowhere.sock").open()
    server.client.config_set("requirepass", "sesame")
    try:
        with pytest.raises(ServiceError, match=r"(?i)authenticat"):
            EveRedisListener(server.url).open()
    finally:
        import redis

        path = server.url.removeprefix("unix://")
        redis.Redis(unix_socket_path=path, password="sesame").config_set("requirepass", "")


@pytest.mark.parametrize(
    "text",
    ["http://host", "redis://h?mode=stream", "redis://h?keys=a", "host:6379", "redis://u:secret@h?mode=x"],
)
def test_targets_that_make_no_sense_are_refused_without_their_password(text: str) -> None:
    with pytest.raises(UsageError, match="expected redis://HOST") as refusal:
        parse_target(text)
    assert "secret" not in str(refusal.value)
