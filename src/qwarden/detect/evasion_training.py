"""How the second opinion on evasion is made, and what it reaches: `qwarden models second-opinion`.

It practises on rows that evade the very model it stands beside: attack flows of the traffic range whose
mutable columns (`second_opinion.FLOW_MUTABILITY`) take over what benign flows show, until the model finds
them as harmless as it can, and which still have the name of an attack: who gives up what makes the attack
has given up the attack. Its seeds of the range are its own, and the model knows none of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from qwarden.core.progress import SILENT, Progress
from qwarden.core.signing import SigningKey
from qwarden.detect.adversarial_training import School, SecondOpinionSettings, quantum_side
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR, name_behaviours
from qwarden.detect.build import Labelled, labelled_rows, range_rows, recipes, training_table
from qwarden.detect.calibration import AlarmTable, AttackTable
from qwarden.detect.evaluation import Verdicts, judge_capture
from qwarden.detect.evasion import NAME, SHARE, EvasionOpinion
from qwarden.detect.lookup import SHIPPED, model_registry
from qwarden.detect.mimicry import mimic
from qwarden.detect.model import ThreatModel
from qwarden.detect.scenario import write_scenario
from qwarden.detect.second_opinion import FLOW_MUTABILITY
from qwarden.detect.shipped import SECOND, ship
from qwarden.learn import Bundle, fingerprint

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

TRAINING_SEEDS: Final = tuple(range(12_000, 12_024))
CALIBRATION_SEEDS: Final = tuple(range(22_000, 22_024))
ATTACK_SEEDS: Final = tuple(range(24_000, 24_004))
"""Seeds of the attacks that evidence is held against: is it like that of any that are known?"""

JUDGEMENT_SEEDS: Final = tuple(range(34_000, 34_012))
"""Seeds of development on which the built one is judged; its share of the budget was settled on others."""

SETTINGS: Final = SecondOpinionSettings(
    qubits=5, layers=4, steps=1500, latent=3, compression_steps=300, attacked=600, queries=(30, 100, 300)
)
"""Small enough to lie beside the shipped model, and to be asked in less time than that."""

FUSED: Final = 3000
"""Benign flows that the members' scores are held against; the alarm table counts every one."""

KNOWN: Final = 150
"""Attack flows of each kind that are remembered for rescoring."""

QUERIES: Final = (30, 200)
FLOWS: Final = 4
DONORS: Final = 4000
"""How it is judged: queries of the model, flows of an attack, benign rows to take values of."""

_PARTS: Final = ("anchored", "adversarial", "autoencoder", "fusion")

NO_ATTACK: Final = 1e9
"""Score of a row that no longer shows a behaviour: mimicry never takes it."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """Rows of the traffic range that a second opinion is made of.

    Attributes
    ----------
    rows, labels : to train on, (n, d) and (n,), all of which show a behaviour.
    benign : (m, d) rows of captures without attacks, whatever they show, to calibrate on.
    attacks, kinds : (k, d) attack rows of others, and what the range calls them, (k,).
    """

    rows: F64
    labels: npt.NDArray[np.str_]
    benign: F64
    attacks: F64
    kinds: npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Victim:
    """A threat model as who evades it sees it: rows to evidence that is to be lowered."""

    model: ThreatModel

    def __call__(self, rows: F64) -> F64:
        """Return the model's evidence, (n,); `NO_ATTACK` where a row no longer shows a behaviour."""
        named = name_behaviours(rows)
        shows = named != NO_BEHAVIOUR
        found = np.full(len(rows), NO_ATTACK)
        if shows.any():
            found[shows] = self.model.score(rows[shows], named[shows]).margin
        return found

    def passed(self, rows: F64, named: I64) -> Mask:
        """Say which rows show a behaviour and stay under the model's budget, (n,): those asked about."""
        found: Mask = named != NO_BEHAVIOUR
        if found.any():
            found[found] = self.model.score(rows[found], named[found]).p_value > self.model.budget
        return found


def range_lessons(seed: int, progress: Progress = SILENT) -> Lessons:
    """Write and read the captures that a second opinion is made of."""
    rows, labels = training_table(range_rows(recipes(TRAINING_SEEDS, attacks=True), progress), seed)
    shows = name_behaviours(rows) != NO_BEHAVIOUR
    benign = [part.rows for part in range_rows(recipes(CALIBRATION_SEEDS, attacks=False), progress)]
    known = list(range_rows(recipes(ATTACK_SEEDS, attacks=True), progress))
    attacks = [(part.rows[part.attacks > 0], part.labels[part.attacks > 0]) for part in known]
    return Lessons(
        rows[shows], labels[shows], np.concatenate(benign),
        *(np.concatenate(column) for column in zip(*attacks, strict=True)),
    )  # fmt: skip


def teach(
    model: ThreatModel,
    lessons: Lessons,
    *,
    version: str = "1",
    settings: SecondOpinionSettings = SETTINGS,
    progress: Progress = SILENT,
) -> tuple[EvasionOpinion, str]:
    """Train a second opinion to stand beside `model`; return it and its training data's fingerprint."""
    # One thread: the sums then have one order, and one seed gives one second opinion.
    with threadpool_limits(1):
        return _teach(model, lessons, version, settings, progress)


def _teach(
    model: ThreatModel,
    lessons: Lessons,
    version: str,
    settings: SecondOpinionSettings,
    progress: Progress,
) -> tuple[EvasionOpinion, str]:
    victim, rng = Victim(model), np.random.default_rng([settings.seed, 5])
    named = name_behaviours(lessons.benign)
    asked = victim.passed(lessons.benign, named)
    calibration = lessons.benign[asked]
    attack = (lessons.labels != "benign").astype(np.int64)
    school = School.open(
        lessons.rows, attack, mutable=FLOW_MUTABILITY, victim=victim, settings=settings,
        calibration=calibration[rng.permutation(len(calibration))[:FUSED]],
        practice=rng.random(len(attack)) < 0.5,  # the victim knows neither half
    )  # fmt: skip
    taught = school.teach(quantum_side(), progress)

    def evidence(rows: F64) -> F64:
        return -taught.log_p(school.preprocessor.transform(rows))

    # Who is not asked cannot be raised: such flows count, with no evidence at all.
    margins = np.zeros(len(named))
    margins[asked] = evidence(calibration)
    alarms = _Few.of(margins, np.where(asked, named, NO_BEHAVIOUR))
    shown = name_behaviours(lessons.attacks)
    shown[np.array((*KINDS, ""))[shown] != lessons.kinds] = NO_BEHAVIOUR
    some = [rng.permutation(np.flatnonzero(shown == kind))[:KNOWN] for kind in range(len(KINDS))]
    chosen = np.concatenate(some)
    known = AttackTable.of(evidence(lessons.attacks[chosen]), shown[chosen])
    parts = {"preprocessor": school.preprocessor} | {name: getattr(taught, name) for name in _PARTS}
    notes = {
        "beside": f"{model.name} {model.version}", "behaviours": list(KINDS), "gate": taught.gate,
        "calibration_flows": len(named),
    }  # fmt: skip
    arrays = {"anchors": school.anchors, "belongings": school.belongings}
    arrays |= alarms.arrays("alarm_") | known.arrays("attack_")
    opinion = EvasionOpinion(Bundle(parts, notes, arrays), NAME, version)
    return opinion, fingerprint(lessons.rows, lessons.labels, lessons.benign)


class _Few(AlarmTable):
    """An alarm table that lies beside another: of each behaviour, the most suspicious flows alone."""

    KEPT = 500


def judge(
    model: ThreatModel, opinion: EvasionOpinion, seeds: Sequence[int], progress: Progress = SILENT
) -> dict[str, Any]:
    """Return what a second opinion catches on captures of the range, and what false findings it adds.

    Attack flows that alarm are made to evade the model by as many queries as `QUERIES` says, `FLOWS` of each
    attack; what then stays under its budget, and still shows a behaviour, is asked about. Findings are those
    of the detector, with the second opinion and without, on the captures as they are.
    """
    evaded = {queries: np.zeros(3, np.int64) for queries in QUERIES}
    alone, both = Verdicts(), Verdicts()
    with tempfile.TemporaryDirectory() as folder, progress.task("judge", len(seeds)) as task:
        for seed in seeds:
            capture = Path(folder) / f"{seed}.pcap"
            write_scenario(capture, seed)
            part = labelled_rows(capture)
            for queries in QUERIES:
                evaded[queries] += _hidden(model, opinion, part, queries, seed)
            for second, verdicts in ((None, alone), (opinion, both)):
                _judge_findings(model, second, capture, verdicts)
            capture.unlink()
            task.advance(1)
    added = 1000 * (both.false - alone.false) / max(alone.benign_flows, 1)
    return {
        "judged_on": f"traffic range, seeds {seeds[0]}-{seeds[-1]}",
        "attack_flows": int(evaded[QUERIES[0]][0]),
        **{f"evade_{q}": round(float(found[1] / max(found[0], 1)), 4) for q, found in evaded.items()},
        **{f"flagged_{q}": round(float(found[2] / max(found[1], 1)), 4) for q, found in evaded.items()},
        "benign_flows": alone.benign_flows,
        "recall": round(both.recall, 4),
        "recall_without": round(alone.recall, 4),
        "false_findings_added_per_1000": round(added, 4),
        "false_per_1000_without": round(alone.false_per_1000, 4),
    }


def _hidden(
    model: ThreatModel, opinion: EvasionOpinion, part: Labelled, queries: int, seed: int
) -> npt.NDArray[np.int64]:
    """Return how many attack flows were made to evade, how many do, and how many of these are flagged."""
    victim, rng = Victim(model), np.random.default_rng([seed, 7])
    named = name_behaviours(part.rows)
    alarm = (named != NO_BEHAVIOUR) & ~victim.passed(part.rows, named)
    chosen = [rng.permutation(np.flatnonzero(alarm & (part.attacks == a)))[:FLOWS]
              for a in np.unique(part.attacks[part.attacks > 0])]  # fmt: skip
    attacks = part.rows[np.concatenate(chosen)]
    donors = part.rows[rng.permutation(np.flatnonzero(part.attacks == 0))[:DONORS]]
    made = mimic(attacks, donors, FLOW_MUTABILITY, victim, queries=queries, seed=[seed, queries]).rows
    shown = name_behaviours(made)
    passed = victim.passed(made, shown)
    flagged = opinion.evading(made, shown, passed, SHARE * model.budget)
    return np.array([len(made), passed.sum(), flagged.sum()])


def _judge_findings(
    model: ThreatModel, second: EvasionOpinion | None, capture: Path, verdicts: Verdicts
) -> None:
    asked = copy(model)
    asked.second = second
    judge_capture(asked, capture, verdicts)


def train_beside(
    reference: str | None, home: Path, *, seed: int = 0, progress: Progress = SILENT
) -> tuple[Path, dict[str, Any]]:
    """Train and judge the second opinion of a model, and keep it beside the model's files.

    Returns
    -------
    Where it lies, and what it reached.

    Raises
    ------
    UsageError
        There is no such model.
    ModelError
        It was changed, or is foreign.
    """
    registry = model_registry(home)
    entry = registry.get(reference or registry.active_reference() or SHIPPED)
    model = ThreatModel.load(entry.folder, registry.trusted)  # without the one that stands there by now
    opinion, origin = teach(
        model, range_lessons(seed, progress), settings=replace(SETTINGS, seed=seed), progress=progress
    )
    opinion.figures = judge(model, opinion, JUDGEMENT_SEEDS, progress)
    folder = entry.folder / SECOND
    if entry.name == SHIPPED:
        ship(opinion, origin, folder)
    else:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        opinion.save(folder, SigningKey.load_or_create(home / "keys"), created=created, fingerprint=origin)
    return folder, opinion.figures
