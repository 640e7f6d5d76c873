"""The command line: thin, no logic of its own.

Each module here holds the commands of one thing; `main` ties them together and maps errors to exit
codes. Heavy imports happen inside the commands, so that `qwarden --help` answers at once.
"""
