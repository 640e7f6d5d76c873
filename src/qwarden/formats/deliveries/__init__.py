"""Ways out of the house: files, syslog, webhooks, and the courier that brings findings to them.

`delivery` beside this folder is the contract. `outputs` is what a surface opens; `courier` reads the
store and tries until a receiver has taken what it finds there.
"""
