"""Published protocols on public data sets: who trains on what, is tested on what, and what came of it.

One module a protocol. Each states its split, its seeds, the number of configurations tried and where they
were tried (never on test rows), and gives the twin the same rows and the same budget. The measures of the
room (`qwarden.detect.measures`) run them.
"""
