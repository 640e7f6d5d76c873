"""What people say of findings and flows, and what follows from it.

::

    verdicts, missed ── events: the queue ── answers ──┬── retraining ── judging ── learning: promoted,
    questions ─────────────────────────┘               └── range_table ────┘            or a candidate

`verdicts` keeps an analyst's verdict; a finding that was dismissed becomes an exception of the narrowest
scope that covers it, so that it stays dismissed. `missed` keeps verdicts on flows, and looks again around an
attack that was missed; `questions` asks about what the model is least certain of. `answers` turns all of it
into rows, `retraining` makes a model of them beside rows of the traffic range (`range_table`), `judging` says
whether it is better, and `learning` does it all. `flows` finds flows in the archive again, with their rows.
"""
