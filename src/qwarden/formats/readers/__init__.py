"""Readers of captures: bytes in, packet records out. Start in `capture.CaptureStream`.

`sources` gives bytes (plain or gzip), `pcap` and `pcapng` find the packets in them, `headers` reads
each packet's headers into a row of `packets.PACKET`.
"""
