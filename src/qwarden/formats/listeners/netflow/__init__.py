"""Flow exporters: NetFlow v5 and v9 and IPFIX datagrams in, canonical flows out.

This runs inside the reading process, like every parser. Read in this order:

- `pdu`        how received datagrams stand in a capture (LINKTYPE_WIRESHARK_UPPER_PDU)
- `stream`     datagrams to batches of flows, and what each of them counts as
- `messages`   headers and sets of the three protocols
- `templates`  what an exporter says its records are, within bounds
- `sessions`   what is remembered of an exporter: its clock, its sampling, its sequence numbers
- `elements`   the information elements that are read
- `records`    a record's values to a row

Sources: Cisco's NetFlow Export Datagram Format (version 5), RFC 3954 (version 9), RFC 7011 and 7012
(IPFIX), RFC 5103 (biflows), IANA's registry of IPFIX information elements.
"""
