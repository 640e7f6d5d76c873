"""Listeners: traffic that comes in time, as bytes that the reading process takes like any file.

A listener gets hold of a socket or a file, hands on bytes as they come, and looks into none of them:
`pipe` makes a source of them that `qwarden.formats.open_capture` opens. Read in this order:

- `listener`   what every listener does; `pipe`: from blocks of bytes to a source
- `follow`     a file that grows and is rotated; `trail`: how its place is found again
- `interface`  a network interface: packet socket, `sniffer` (a process without rights), `spool`
- `exports`    NetFlow and IPFIX: UDP socket, `receiver` (likewise), `spool`; `netflow` decodes them, in
  the reading process
- `eve_socket`, `eve_redis`  Suricata's events over a UNIX socket or Redis; `assembly`: lines of pieces
"""
