"""`python -m qwarden`: the same as the installed command."""

from qwarden.cli.main import entry

entry()
