"""Writers: from Qwarden's data to files and streams that other tools read.

`pcap` writes captures in the classic libpcap format; `eve`, `ecs`, `ocsf`, `stix`, `syslog` and `cef` write
findings; `notice` says what is told when. Each writer is a module of its own; it takes
finished records and knows nothing of who made them.
"""
