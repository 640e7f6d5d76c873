"""Entities that run: production, renewal, revocation, a vendor's keys, and what goes wrong."""

from __future__ import annotations

import logging
import secrets
import time
from pathlib import Path

import pytest
from tests.e2e.keys.entities import KMES, Entities, fill, open_stores, prepare, serving

from qwarden.core.errors import ConfigError, InputError, KeySupplyError, ServiceError, UsageError
from qwarden.core.events import Event
from qwarden.keys.kme.client import KmeRefused
from qwarden.keys.kme.events import KeysDropped, PoolLow, RenewalDue
from qwarden.keys.kme.operator import Operator
from qwarden.keys.kme.records import Asked, Provenance
from qwarden.keys.kme.serving import FOLDER

RENEWAL = "renewal = {low_water = 50, after_bytes = 640}"


def block(peer: str, origin: str = "simulated", name: str = "new") -> Provenance:
    return Provenance(block=name, peer=peer, origin=origin, method="none", epsilon=1e-10)


def said(entities: Entities) -> list[Event]:
    """What kme-a has said."""
    return [event for event in entities.events if getattr(event, "entity", "") == "kme-a"]


def test_production_serves_no_simulated_key_and_says_so(tmp_path: Path) -> None:
    entities = prepare(tmp_path, more='mode = "production"')
    fill(entities, origin="simulated", block="b1", keys=40)
    with serving(entities), entities.application("sae-1") as client:
        status = client.status("sae-2")
        assert status.stored_key_count == 0
        assert status.extension == {"qwarden_mode": "production", "qwarden_origin": []}
        with pytest.raises(ServiceError, match="only simulated keys are stored"):
            client.get_key("sae-2")
        with pytest.raises(KmeRefused, match="could be met"):
            client.get_key("sae-2", mandatory=[{"qwarden_origin": "simulated"}])
        with (
            Operator(entities.settings("kme-a")) as operator,
            pytest.raises(InputError, match="does not take"),
        ):
            operator.add(block("kme-b"), secrets.token_bytes(64))
        with Operator(entities.settings("kme-a")) as ours, Operator(entities.settings("kme-b")) as theirs:
            material = secrets.token_bytes(32 * 4)
            assert ours.add(block("kme-b", "imported"), material) == 4
            assert theirs.add(block("kme-a", "imported"), material) == 4
        keys = client.get_key("sae-2", 2)
        assert [key.material for key in keys] == [material[:32], material[32:64]]
        assert {key.origin for key in keys} == {"imported"}
        with pytest.raises(ServiceError, match="only simulated"):
            client.get_key("sae-2")


def test_a_laboratory_does_not_bring_simulated_keys_into_production(tmp_path: Path) -> None:
    entities = prepare(tmp_path)
    fill(entities, keys=8)
    settings = tmp_path / "kme-b" / "kme.toml"
    settings.write_text(settings.read_text().replace("laboratory", "production"))
    refused = pytest.raises(ServiceError, match="kme-b does not hold this key material")
    with serving(entities), entities.application("sae-1") as client, refused:
        client.get_key("sae-2")


def test_each_key_is_of_one_origin_and_it_can_be_chosen(tmp_path: Path) -> None:
    entities = prepare(tmp_path)
    fill(entities, keys=8, origin="simulated", block="b1")
    fill(entities, keys=2, origin="vendor", block="b2")
    fill(entities, keys=6, origin="imported", block="b3")
    with serving(entities), entities.application("sae-1") as client, entities.application("sae-2") as other:
        assert client.status("sae-2").extension["qwarden_origin"] == ["imported", "simulated", "vendor"]
        # Two quanta: the vendor's one is not mixed with others; of the rest the more trusted is taken.
        (key,) = client.get_key("sae-2", size=512)
        assert key.origin == "imported"
        assert other.get_key_with_ids("sae-1", [key.id]) == [key]
        assert [client.get_key("sae-2")[0].origin for _ in range(3)] == ["vendor", "imported", "simulated"]
        (key,) = client.get_key("sae-2", mandatory=[{"qwarden_origin": "simulated"}])
        assert key.origin == "simulated"
        for origin in ("imported", "vendor"):
            with pytest.raises(KmeRefused, match="could be met"):
                client.get_key("sae-2", mandatory=[{"qwarden_origin": origin}])


def test_an_entity_that_is_away_costs_no_keys_and_what_differs_is_dropped(tmp_path: Path) -> None:
    entities = prepare(tmp_path)
    fill(entities, keys=40)
    with serving(entities, ["kme-a"]), entities.application("sae-1") as client:
        for _ in range(3):
            with pytest.raises(ServiceError, match="kme-b does not answer"):
                client.get_key("sae-2", 2)
        assert client.status("sae-2").stored_key_count == 20
    # As after a crash between drawing and telling, and with a block that came to one end alone, long ago.
    ours, theirs = open_stores(entities)
    ours.draw([Asked(peer="kme-b", bits=256, number=6, master="sae-1", slaves=("sae-2",))])
    ours.add(block("kme-b"), secrets.token_bytes(32 * 4))
    with ours._ledger.writing() as db:
        db.execute("update blocks set stored = stored - 1000")
    ours.close()
    theirs.close()
    with serving(entities), entities.application("sae-1") as client, entities.application("sae-2") as other:
        until = time.monotonic() + 20
        dropped: set[tuple[str, str, int]] = set()
        while len(dropped) < 3 and time.monotonic() < until:
            found = [event for event in entities.events if isinstance(event, KeysDropped)]
            dropped = {(event.entity, event.why[:4], event.count) for event in found}
            time.sleep(0.05)
        # Of the block that one end has alone, each end's half goes by that end's own comparing.
        assert dropped == {("kme-a", "used", 6), ("kme-a", "not ", 2), ("kme-b", "used", 2)}
        (key,) = client.get_key("sae-2")
        assert other.get_key_with_ids("sae-1", [key.id]) == [key]
    ours, theirs = open_stores(entities)
    assert sum(count for runs in ours.remaining("kme-b").values() for _, count in runs) == 20 - 6 - 1
    assert theirs.remaining("kme-a") == {"block-1": [(20, 20)]}
    ours.close()
    theirs.close()


def test_low_water_and_renewal_are_said_once(tmp_path: Path) -> None:
    entities = prepare(tmp_path, more=f'mode = "laboratory"\n{RENEWAL}')
    fill(entities, keys=120)
    with serving(entities), entities.application("sae-1") as client:
        assert entities.events == []
        client.get_key("sae-2", 20)
        upkeep = entities.running["kme-a"].upkeep
        entities.run(upkeep.once())
        entities.run(upkeep.once())
        low, due = said(entities)
        assert isinstance(low, PoolLow)
        assert (low.entity, low.peer, low.left, low.low_water) == ("kme-a", "kme-b", 40, 50)
        assert isinstance(due, RenewalDue)
        assert due.why == "640 bytes were drawn since the last keys came"
        with Operator(entities.settings("kme-a")) as operator:
            (pool,) = operator.pools()
            assert (pool.left, pool.theirs, pool.used) == (40, 60, 640)
            operator.add(block("kme-b"), secrets.token_bytes(32 * 40))
        entities.run(upkeep.once())
        assert len(said(entities)) == 2
        client.get_key("sae-2", 20)
        entities.run(upkeep.once())
        assert [type(event) for event in said(entities)[2:]] == [PoolLow, RenewalDue]


def test_what_is_revoked_is_gone_at_both_ends(tmp_path: Path) -> None:
    entities = prepare(tmp_path)
    fill(entities, keys=8, block="b1")
    fill(entities, keys=8, block="b2")
    with serving(entities), Operator(entities.settings("kme-b")) as operator:
        with entities.application("sae-1") as client, entities.application("sae-2") as other:
            keys = client.get_key("sae-2", 2)
            assert operator.revoke(key=keys[0].id) == {"kme-b": 1, "kme-a": 0}
            with pytest.raises(KmeRefused, match="not found"):
                other.get_key_with_ids("sae-1", [keys[0].id])
            assert operator.revoke(block="b1") == {"kme-b": 6, "kme-a": 6}
            assert client.status("sae-2").stored_key_count == other.status("sae-1").stored_key_count == 4
            assert operator.revoke(peer="kme-a") == {"kme-b": 9, "kme-a": 8}
            dropped = [event for event in entities.events if isinstance(event, KeysDropped)]
            assert [(event.entity, event.count, event.why) for event in dropped] == [
                ("kme-b", 1, "revoked"), ("kme-b", 6, "revoked"), ("kme-a", 6, "revoked by the other end"),
                ("kme-b", 9, "revoked"), ("kme-a", 8, "revoked by the other end"),
            ]  # fmt: skip
            with pytest.raises(ServiceError, match="not enough"):
                client.get_key("sae-2")
        with pytest.raises(UsageError, match="revoke a block"):
            operator.revoke()


def test_only_the_entity_itself_and_its_peers_speak_beside_the_standard(tmp_path: Path) -> None:
    entities = prepare(tmp_path)
    with serving(entities):
        for name, status in (("sae-1", 401), ("kme-b", 404), ("kme-a", 400)):
            with entities.raw(name, "kme-a") as client:
                for method in ("blocks", "pools"):
                    expected = 200 if (name, method) == ("kme-a", "pools") else status
                    assert client.post(f"/kme/v1/{method}", json={}).status_code == expected
        with entities.raw("kme-b", "kme-a") as peer:
            for method in ("assignments", "remaining", "vendor-keys"):
                for document in (
                    {},
                    {method: 3},
                    {"assignments": [3]},
                    {"remaining": {"b": [[1]]}},
                    {"ids": 3},
                ):
                    answer = peer.post(f"/kme/v1/{method}", json=document)
                    assert answer.status_code == 400, (method, document)
            assert peer.get("/kme/v1/remaining").status_code == 405
            # An entity is not an application.
            assert peer.get("/api/v1/keys/sae-2/enc_keys").status_code == 401


def test_a_peer_gets_no_keys_assigned_that_are_not_its_own_to_assign(tmp_path: Path) -> None:
    entities = prepare(tmp_path)
    fill(entities, keys=8)
    good = {
        "id": "01900000-0000-7000-8000-000000000001", "bits": 256, "master": "sae-2", "slaves": ["sae-1"],
        "spans": [["block-1", 4, 1]],
    }  # fmt: skip
    wrong = [
        {"spans": [["block-1", 0, 1]]},  # of the other half
        {"spans": [["block-1", 4, 2]]}, {"spans": [["block-1", 4, 1 << 62]]}, {"spans": [["block-1", -1, 1]]},
        {"spans": [["block-1", 4, 1], ["block-1", 4, 1]], "bits": 512}, {"spans": []},
        {"spans": [["x", 4, 1]]},
        {"bits": 0}, {"bits": 255}, {"bits": -256, "spans": []}, {"slaves": []}, {"slaves": ["sae-2"]},
        {"master": "sae-1"}, {"master": "nobody"},
    ]  # fmt: skip
    with serving(entities), entities.raw("kme-b", "kme-a") as peer:

        def told(*changes: dict[str, object]) -> list[bool]:
            answer = peer.post("/kme/v1/assignments", json={"assignments": [good | one for one in changes]})
            assert answer.status_code == 200, answer.text
            taken = answer.json()["taken"]
            assert isinstance(taken, list)
            return taken

        assert told(*wrong) == [False] * len(wrong)
        answer = peer.post("/kme/v1/assignments", json={"assignments": [good | {"id": "../x"}]})
        assert answer.status_code == 400
        assert told({}, {}) == [True, False]


def test_vendors_keys_are_taken_over_at_both_ends(tmp_path: Path) -> None:
    """The vendor's entities are of ours too, and serve imported keys; they say nothing of simulation."""
    theirs = prepare(tmp_path / "vendor", more='mode = "production"')
    material = fill(theirs, origin="imported", keys=64)
    ours = prepare(tmp_path / "own", more='mode = "production"')
    for kme, own, slave in (("kme-a", "sae-1", "sae-2"), ("kme-b", "sae-2", "sae-1")):
        pki = theirs.made.folder
        with (tmp_path / "own" / kme / "kme.toml").open("a") as settings:
            settings.write(
                f'[vendors.{KMES[1 - KMES.index(kme)]}]\nurl = "{theirs.urls[kme]}"\nkme = "{kme}"\n'
                f'ca = "{pki}/ca.pem"\ncertificate = "{pki}/{own}.pem"\nkey = "{pki}/{own}.key"\n'
                f'slave = "{slave}"\nnumber = 8\nsize = 512\n'
            )
    with serving(theirs), serving(ours):
        # A pool that is empty is due for renewal, so the first keys come by themselves; one end asks.
        with ours.application("sae-1") as client, ours.application("sae-2") as other:
            until = time.monotonic() + 30
            while client.status("sae-2").stored_key_count == 0 and time.monotonic() < until:
                time.sleep(0.05)
            assert other.status("sae-1").stored_key_count == 8
            assert client.status("sae-2").extension["qwarden_origin"] == ["vendor"]
            (key,) = client.get_key("sae-2")
            assert (key.material, key.origin) == (material[:32], "vendor")
            assert other.get_key_with_ids("sae-1", [key.id]) == [key]
        # The vendor runs out: nothing is stored at either end.
        assert ours.run(ours.running["kme-a"].vendors.take("kme-b")) == 16
        with pytest.raises(ServiceError, match="not enough"):
            ours.run(ours.running["kme-a"].vendors.take("kme-b"))
        with Operator(ours.settings("kme-a")) as here, Operator(ours.settings("kme-b")) as there:
            assert here.pools()[0].left == there.pools()[0].theirs
    with serving(ours), pytest.raises(ServiceError):
        ours.run(ours.running["kme-a"].vendors.take("kme-b"))


def test_a_second_process_is_told_who_has_the_store(tmp_path: Path) -> None:
    entities = prepare(tmp_path)
    with serving(entities), pytest.raises(KeySupplyError, match="in use by another process"):
        open_stores(entities)


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    entities = prepare(tmp_path)
    home, key = tmp_path / "kme-a", tmp_path / "pki" / "kme-a.key"
    with serving(entities, ["kme-a"]):
        pass
    (home / FOLDER / "vault.json").rename(home / "aside")
    with (
        pytest.raises(ConfigError, match="stored keys are there that only it opens"),
        serving(entities, ["kme-a"]),
    ):
        pass
    (home / "aside").rename(home / FOLDER / "vault.json")
    master = (home / "master.key").read_bytes()
    (home / "master.key").write_bytes(bytes(32))
    with pytest.raises(KeySupplyError, match="the master key is wrong"), serving(entities, ["kme-a"]):
        pass
    (home / "master.key").unlink()
    with pytest.raises(ConfigError, match="no such file"), serving(entities, ["kme-a"]):
        pass
    (home / "master.key").write_bytes(master)
    with pytest.raises(ConfigError, match="other users may read it"), serving(entities, ["kme-a"]):
        pass
    (home / "master.key").chmod(0o600)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="other users may read it"), serving(entities, ["kme-a"]):
        pass
    key.unlink()
    with pytest.raises(InputError, match="is missing"), serving(entities, ["kme-a"]):
        pass


def test_no_secret_is_logged_and_files_are_their_owners_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    entities = prepare(tmp_path)
    material = fill(entities, keys=8)
    with serving(entities), entities.application("sae-1") as client, entities.raw("kme-a", "kme-a") as own:
        keys = client.get_key("sae-2", 2)
        own.post("/kme/v1/blocks", json={"provenance": {}, "material": "c2VjcmV0"})
        shown = caplog.text + repr(keys) + repr(entities.running["kme-a"].entity)
    for at in range(0, len(material), 32):
        assert material[at : at + 32].hex() not in shown
        assert repr(material[at : at + 32])[2:-1] not in shown
    assert "c2VjcmV0" not in shown
    for path in (tmp_path / "kme-a" / FOLDER).iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
        assert material[:32] not in path.read_bytes()
    assert (tmp_path / "kme-a" / FOLDER).stat().st_mode & 0o077 == 0
