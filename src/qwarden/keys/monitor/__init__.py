"""The monitor: a quantum one-class model and a QSVM look at every block, their twins beside them.

::

    Observables ── reading ── deviations ── reference ── model ── Alarm or None
                   against    in standard   less what    quantum members,
                   the fit    deviations    is usual     one budget of false alarms

In: a block's `Observables`. Out: `watch.Alarm`, or nothing. `telemetry` feeds the same model from links that
tell rates only. `training` simulates what it learns from, `visibility` says what could be seen at all,
`adaptive` what an attacker who knows it may still take.

Start reading at `watch.Monitor`, then `reading`, `reference`, `model`.
"""
