"""The reading process and its cage.

A capture is hostile input; parsing it happens in a process that can do nothing but read that one
capture and write to one pipe. Start with `host` (the parent's side), then `worker` (the other side),
`lockdown` (what the process gives up) and `wire` (what they say to each other).
"""
