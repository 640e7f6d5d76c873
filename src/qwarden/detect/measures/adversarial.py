"""Figures of the second opinion: how many attacks that hide it finds, and how many evade even so."""

from __future__ import annotations

from qwarden.core.bench import run_bench
from qwarden.core.measure import Bench, Measured, measure

_FILE = "nsl-kdd/KDDTrain+.txt.gz"
_SHARES = ("evasion_30", "evasion_1000", "missed_without_attack", "fpr")


@measure(
    "detect.adversarial_static",
    definition="Of NSL-KDD attacks that took over normal values in 14 columns until boosted trees found them "
    "less suspicious than 5 % of normal traffic (1,000 queries each), the share that the quantum second "
    "opinion finds at 5 and 1 % false positives. All: of every attacked row. Unseen: made against extremely "
    "randomised trees, unknown to its training. Unentangled: no two-qubit gates. Victim: the trees' own.",
    units=dict.fromkeys(
        (
            "evading", "unseen_evading",
            *(f"{kind}tpr_at_{fpr}pct" for kind in ("", "all_", "unseen_", "victim_", "unentangled_",
                                                   "unentangled_unseen_") for fpr in (5, 1)),
        ), "1",
    ),
    long=True,
    article={"tpr_at_5pct": 0.93},
)  # fmt: skip
def adversarial_static(bench: Bench) -> Measured:
    """Attack the victims, ask the second opinion."""
    from qwarden.detect.protocols.adversarial import measure_static

    return measure_static(bench.data(_FILE), bench.checkpoint, bench.progress)


@measure(
    "detect.adversarial_adaptive",
    definition="Share of NSL-KDD attacks that neither boosted trees nor the quantum second opinion flag "
    "after an attacker has asked both 30 or 1,000 times for their score. Fpr: normal rows that either flags. "
    "Victim: the trees alone, with their share of the budget. Unentangled: without two-qubit gates.",
    units={f"{side}{name}": "1" for side in ("", "unentangled_", "victim_") for name in _SHARES},
    long=True,
)
def adversarial_adaptive(bench: Bench) -> Measured:
    """Attack victim and second opinion together."""
    from qwarden.detect.protocols.adversarial import measure_adaptive

    return measure_adaptive(bench.data(_FILE), bench.checkpoint, bench.progress)


@measure(
    "detect.adversarial_hopskipjump",
    definition="HopSkipJump (Adversarial Robustness Toolbox), which sees decisions only: share of NSL-KDD "
    "attacks that evade victim and quantum second opinion together, or the victim alone at 5 % false "
    "positives; share of the latter that the second opinion finds at 5 and 1 %; median queries of an attack "
    "on both.",
    units={
        "evasion": "1", "victim_evasion": "1", "tpr_at_5pct": "1", "tpr_at_1pct": "1", "queries": "queries",
    },
    long=True,
)  # fmt: skip
def adversarial_hopskipjump(bench: Bench) -> Measured:
    """Let the toolbox attack, in its own environment."""
    from qwarden.detect.protocols.adversarial import measure_seeds

    path, python = bench.data(_FILE), bench.peer("art")

    def figures(seed: int) -> dict[str, float]:
        found = run_bench(
            "adversarial/hopskipjump.py", str(path), "--seed", str(seed), "--attacked", str(_JUMPED),
            python=python, timeout_s=7200,
        )  # fmt: skip
        return dict(found["figures"])

    return measure_seeds(path, "HopSkipJump", figures, _JUMPED, bench.checkpoint, bench.progress)


_JUMPED = 60
"""Attacks a seed: each is made by itself."""
