"""The monitor: a quantum one-class model and a QSVM look at every block, their twins beside them."""
