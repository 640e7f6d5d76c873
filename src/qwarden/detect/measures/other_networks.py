"""Figures on public data sets of networks other than NSL-KDD's: UNSW-NB15, CIC-IDS2017, NF-BoT-IoT."""

from __future__ import annotations

from qwarden.core.measure import Bench, Measured, measure

UNSW = "unsw-nb15/UNSW_NB15_82332.csv.gz"

RANKED = dict.fromkeys(("auc_quantum", "auc_fused", "auc_unentangled", "auc_hybrid"), "1")


@measure(
    "detect.unsw_dedup",
    definition="Share of test rows told right, normal or attack, on random splits of the UNSW-NB15 partition "
    "without its duplicates; mean over the splits. Quantum: quantum neural networks alone (mean log-odds at "
    "0.5). Fused: with boosted and extremely randomised trees. Unentangled: the networks without two-qubit "
    "gates. Hybrid: one network's states in a kernel machine. f5: at the 95 % quantile of held-out normals.",
    units=dict.fromkeys(
        (
            "quantum", "fused", "unentangled", "hybrid", "quantum_f5", "fused_f5", "unentangled_f5",
            "auc_quantum", "auc_fused",
        ),
        "1",
    ),
    long=True,
    article={"quantum": 0.96},
)  # fmt: skip
def unsw_dedup(bench: Bench) -> Measured:
    """Train and test on five random splits."""
    from qwarden.detect.protocols.unsw_dedup import measure_unsw_dedup

    return measure_unsw_dedup(bench.data(UNSW), bench.checkpoint, bench.progress)


@measure(
    "detect.unsw_novel",
    definition="Area under the ROC curve of normal rows against Fuzzers, DoS and Reconnaissance, which no "
    "training row showed, on the UNSW-NB15 partition without its duplicates; mean over random splits. f5: "
    "recall and false alarms at the 95 % quantile of held-out normals.",
    units={
        **RANKED,
        **dict.fromkeys(("recall_f5_quantum", "recall_f5_fused", "fpr_f5_quantum", "fpr_f5_fused"), "1"),
    },
    long=True,
)
def unsw_novel(bench: Bench) -> Measured:
    """Train without three families, test on them."""
    from qwarden.detect.protocols.unsw_novel import measure_unsw_novel

    return measure_unsw_novel(bench.data(UNSW), bench.checkpoint, bench.progress)


CIC = "cic-ids2017-improved/cicids2017_mon_wed.parquet"

CIC_UNITS = {
    name + who: "1"
    for who in ("", "_quantum", "_hybrid", "_unentangled", "_networks")
    for name in ("auc", "recall_at_1pct_fpr", "fpr_wednesday", "recall_f5", "fpr_wednesday_f5")
}


@measure(
    "detect.cic_days",
    definition="Trained on benign traffic of Monday and Tuesday of CIC-IDS2017, tested on Wednesday: area "
    "under the ROC curve; recall at the 99 % quantile of held-out benign rows of the training days, and the "
    "share of Wednesday's benign rows that this raises; f5: both at the 95 % quantile. Plain names: "
    "networks, eigenspace of benign states and trees fused. The sample was drawn by class.",
    units=CIC_UNITS,
    long=True,
)
def cic_days(bench: Bench) -> Measured:
    """Train on two days, test on the third."""
    from qwarden.detect.protocols.cic_days import measure_cic_days

    return measure_cic_days(bench.data(CIC), bench.checkpoint, bench.progress)


NF_UNITS = {
    **{
        f"{name}_{who}": "1"
        for who in ("quantum", "fused", "hybrid", "unentangled", "unweighted")
        for name in ("benign_fpr", "recall", "balanced_accuracy", "auc")
    },
    "balanced_accuracy_qknn": "1",
    "auc_qknn": "1",
}


@measure(
    "detect.nf_bot",
    definition="NF-BoT-IoT-v2 without duplicates, 3 % of it benign, random splits: share of benign rows "
    "flagged by a threshold that finds 99 % of held-out attacks, the recall this has on test rows, balanced "
    "accuracy at even odds. Unweighted: the networks without class weights. QKNN: the vote of the most "
    "faithful training rows; its twin is k-NN.",
    units=NF_UNITS,
    long=True,
)
def nf_bot(bench: Bench) -> Measured:
    """Train on one half, test on the other."""
    from qwarden.detect.protocols.nf_bot import measure_nf_bot

    return measure_nf_bot(
        bench.data("nf-bot-iot-v2-reduced/botiot_reduced.csv.gz"), bench.checkpoint, bench.progress
    )
