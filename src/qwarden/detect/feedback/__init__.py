"""What people say of findings, and what follows from it.

`verdicts` keeps an analyst's verdict; a finding that was dismissed becomes an exception of the narrowest
scope that covers it, so that it stays dismissed.
"""
