"""Public data sets of labelled connections, for measurements: named columns, checked types.

One module a set. Nothing of them ships with the project; `Bench.data` says where they lie.
"""
