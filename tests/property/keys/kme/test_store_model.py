"""Two stores under any order of what can happen: nothing is given out twice, and both ends hold the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qwarden.core.clock import TrafficClock
from qwarden.core.errors import KeyExhausted
from qwarden.keys.kme import vault
from qwarden.keys.kme.records import Asked, Assignment, Delivered, Provenance, Wanted
from qwarden.keys.kme.store import KeyStore

ENDS = {"alice": "bob", "bob": "alice"}
SECRET = vault.Secret(bytes(32), is_passphrase=False)
END = st.sampled_from(sorted(ENDS))


class TwoStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="qwarden-stores-"))
        self.clock = TrafficClock(1e9)
        for name in ENDS:
            vault.create(self.folder / name, SECRET)
        self.stores = {name: self.open(name) for name in ENDS}
        self.blocks = 0
        self.material: set[bytes] = set()
        self.given: dict[bytes, str] = {}  # quantum by its key's id
        self.ids: set[str] = set()
        self.on_the_way: list[tuple[str, Assignment, Delivered]] = []
        self.waiting: list[tuple[str, Delivered]] = []

    def open(self, name: str) -> KeyStore:
        opened = vault.open_vault(self.folder / name, SECRET)
        return KeyStore(self.folder / name, name, opened, self.clock)

    def teardown(self) -> None:
        for store in self.stores.values():
            store.close()
        shutil.rmtree(self.folder)

    @rule(quanta=st.integers(1, 9), origin=st.sampled_from(["simulated", "vendor"]), lost=st.booleans())
    def store_a_block(self, quanta: int, origin: str, lost: bool) -> None:
        """Both ends as a rule; one alone if the other dies at this very moment."""
        self.blocks += 1
        parts = [bytes([self.blocks % 256, self.blocks // 256, n]) + bytes(29) for n in range(quanta)]
        self.material.update(parts)
        for name, peer in ENDS.items():
            if not (lost and name == "bob"):
                provenance = Provenance(
                    block=f"b{self.blocks}", peer=peer, origin=origin, method="m", epsilon=0.0
                )
                self.stores[name].add(provenance, b"".join(parts))

    @rule(name=END, number=st.integers(1, 3), quanta=st.integers(1, 3))
    def draw(self, name: str, number: int, quanta: int) -> None:
        asked = Asked(peer=ENDS[name], bits=256 * quanta, number=number, master="m", slaves=("s",))
        (drawn,) = self.stores[name].draw([asked])
        if isinstance(drawn, KeyExhausted):
            return
        assert len(drawn) == number
        for assignment, key in drawn:
            assert key.id not in self.ids
            self.ids.add(key.id)
            for at in range(0, len(key.key), 32):
                quantum = key.key[at : at + 32]
                assert quantum in self.material
                assert quantum not in self.given, "given out twice"
                self.given[quantum] = key.id
            self.on_the_way.append((name, assignment, key))

    @rule(data=st.data(), again=st.booleans())
    def tell(self, data: st.DataObject, again: bool) -> None:
        """The message arrives, in any order, perhaps twice."""
        if not self.on_the_way:
            return
        told = data.draw(st.sampled_from(self.on_the_way))
        name, assignment, key = told
        if not again:
            self.on_the_way.remove(told)
        (taken,) = self.stores[ENDS[name]].accept(name, [assignment])
        if taken:
            self.waiting.append((ENDS[name], key))

    @rule()
    def lose_messages(self) -> None:
        self.on_the_way.clear()

    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        """The other end could not be reached, or the drawing end was restarted and cannot put back."""
        if not self.on_the_way:
            return
        lost = data.draw(st.sampled_from(self.on_the_way))
        name, _, key = lost
        self.on_the_way.remove(lost)
        if any(at == ENDS[name] and waits.id == key.id for at, waits in self.waiting):
            return  # it was told
        before = self.stores[name].available(ENDS[name])
        self.stores[name].put_back([key.id])
        if self.stores[name].available(ENDS[name]) > before:
            for at in range(0, len(key.key), 32):
                del self.given[key.key[at : at + 32]]

    @rule(data=st.data())
    def fetch(self, data: st.DataObject) -> None:
        if not self.waiting:
            return
        place, key = data.draw(st.sampled_from(self.waiting))
        wanted = Wanted(ids=(key.id,), sae="s", master="m")
        first, second = self.stores[place].fetch([wanted, wanted])
        assert first == [key]
        assert isinstance(second, Exception)
        self.waiting.remove((place, key))

    @rule(name=END)
    def restart(self, name: str) -> None:
        self.stores[name].close()
        self.stores[name] = self.open(name)

    @rule(name=END)
    def rotate(self, name: str) -> None:
        self.stores[name].reseal()

    @rule()
    def compare(self) -> None:
        """After it, both hold the same quanta, and none that was given out."""
        self.on_the_way.clear()
        for name, peer in ENDS.items():
            later, ours = self.clock.now() + 1, self.stores[name]
            _, missing = self.stores[peer].discard_used(name, ours.remaining(peer), later)
            ours.discard_missing(peer, missing, later)
        left = [self.quanta(name) for name in ENDS]
        assert left[0] == left[1]
        assert not left[0] & {self.place(quantum) for quantum in self.given}

    @invariant()
    def what_waits_is_there(self) -> None:
        for place in ENDS:
            waiting = sum(pool.waiting for pool in self.stores[place].pools())
            assert waiting == sum(at == place for at, _ in self.waiting)

    def quanta(self, name: str) -> set[tuple[str, int]]:
        with self.stores[name]._ledger.reading() as db:
            return set(db.execute("select block, n from quanta").fetchall())

    @staticmethod
    def place(quantum: bytes) -> tuple[str, int]:
        return f"b{quantum[0] + 256 * quantum[1]}", quantum[2]


TwoStores.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestTwoStores = TwoStores.TestCase
