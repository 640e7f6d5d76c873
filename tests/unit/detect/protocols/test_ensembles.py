from __future__ import annotations

import numpy as np

from qwarden.detect.protocols.ensembles import forests, hybrid, network_resources, networks
from qwarden.detect.protocols.members import fit_members, suspicions
from qwarden.learn import HybridClassifier, QNNClassifier
from qwarden.quantum import cz_ring_reupload

SMALL = {"qubits": 2, "layers": 1, "steps": 80, "learning_rate": 0.05}


def test_no_two_networks_of_any_two_seeds_share_a_seed() -> None:
    made = [member.make(seed) for seed in range(3) for member in networks(SMALL, 4)]
    assert sorted(model.seed for model in made if isinstance(model, QNNClassifier)) == list(range(12))


def test_unentangled_networks_differ_in_nothing_else() -> None:
    pairs = zip(networks(SMALL, 2), networks(SMALL, 2, entangled=False), strict=True)
    for member, flat in pairs:
        own, other = member.make(1).get_params(), flat.make(1).get_params()
        assert {name for name in own if own[name] != other[name]} == {"entangled"}


def test_members_train_score_and_say_what_they_are() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3))
    attack = (rows[:, 0] > 0).astype(np.int64)
    members = [
        *networks(SMALL, 2),
        hybrid(SMALL, {"landmarks": 20}),
        *forests({"iterations": 5}, {"trees": 5}),
    ]
    assert [member.quantum for member in members] == [True, True, True, False, False]
    assert isinstance(members[2].make(0), HybridClassifier)
    scores = suspicions(fit_members(members, rows, attack, seed=0), rows)
    assert (((scores > 0) == attack[:, None]).mean(axis=0) > 0.7).all()


def test_resources_are_the_circuits() -> None:
    circuit, told = cz_ring_reupload(5, 2), network_resources(5, 2)
    assert (told.qubits, told.depth, told.two_qubit_gates) == (5, circuit.depth, circuit.two_qubit_gates)
    assert told.shots is None
