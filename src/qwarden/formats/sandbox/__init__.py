"""The reading process and its cage.

Captures and logs are hostile input; parsing one happens in a process that can do nothing but read that
one file and write to one pipe. Start with `host` (the parent's side), then `worker` (the other side),
`lockdown` (what the process gives up) and `wire` (what they say to each other).
"""
