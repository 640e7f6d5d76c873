"""What real traffic measures, and what the scenario draws from.

Measured on public captures and logs: the 25 captures of Zeek's and Suricata's own tests, the
Stratosphere logs (CTU-Normal hosts, NjRAT, nmap, Simda) and the data sets of Slips. Quantiles are
5 / 50 / 95 %.

Benign services, a session each:

========  ===============  ================  ===================  ==================
service   packets          duration, s       bytes out            bytes in
========  ===============  ================  ===================  ==================
HTTP      7 / 20 / 34      .014 / .05 / 30   207 / 537 / 1,660    294 / 892 / 55k
HTTPS     10 / 32 / 269    .07 / 20 / 596    64 / 1.3k / 18k      137 / 1.8k / 142k
QUIC      12 / 48 / 612    .03 / .26 / 66    800 / 6.6k / 54k     1.8k / 7.1k / 461k
DNS       2 / 2 / 4        .0006 / .04 / .28 30 / 40 / 82         48 / 95 / 749
SSH       29 / 46 / 406    .56 / 2.9 / 9     500 / 2.8k / 6.1k    550 / 2.3k / 535k
SMB       103 / 200 / 1140 33 / 162 / 163    4.4k / 273k / 1.4M   6k / 40k / 805k
========  ===============  ================  ===================  ==================

Around them: 22 % of benign pairs with six or more contacts are regular (MAD / median of their
intervals at most .3) with periods of 22 s to 2 h; SMB, SIP, IEC-104 and chat beat inside one
connection; the failed share of a 60 s window is 0 / 0 / .5; 64 destinations in 300 s are the 95 %
quantile; a browser opens up to 350 alike HTTPS sessions in 300 s; out / in on 443 is .01 / 1 / 8.4.

Attacks:

====================================  ===============================================================
FTP guessing (zeek ftp/bruteforce)    30 sessions in 59 s, 20-23 packets, 24 B out, 137 B in, 1.3-2.5 s
SSH guessing (zeek ssh/sshguess)      11 sessions in 70 s, 37-45 packets, 2.6-2.9 kB out, 2.4 kB in
Zerologon (suricata dcerpc)           21 pairs on 135 and 49668 in 8 s, 12-20 packets, 228 / 212 B
DHCP flood (zeek, suricata)           100 /s INFORM with replies; DISCOVER back to back, no reply
rsmurf6, denial6 (suricata)           1,000 echoes from ff02::1; 15,800 packets/s through AH headers
hidden in destination options         echoes with 1,384 B of extension header
scan (Slips, Stratosphere)            10-100 destinations, or 20-1,000 ports; REJ, S0; nmap 1-2 SYN each
dead C2 (NjRAT)                       27-434 failed tries in 300 s, 2 SYN 3 s apart each
beacon                                2-60 s, 10-300 contacts, MAD / median 0-.23, half in one connection
====================================  ===============================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qwarden.detect.scenario.dice import Range


@dataclass(frozen=True)
class Service:
    """The measured shape of one session: packets, seconds, application bytes each way."""

    packets: Range
    duration: Range
    out: Range
    back: Range


HTTP: Final = Service(
    Range(7, 20, 34), Range(0.014, 0.05, 30), Range(207, 537, 1_660, 90), Range(294, 892, 55e3, 120, 600e3)
)
HTTPS: Final = Service(
    Range(10, 32, 269), Range(0.07, 20, 596), Range(64, 1.3e3, 18e3), Range(137, 1.8e3, 142e3, 90, 900e3)
)
QUIC: Final = Service(
    Range(12, 48, 612), Range(0.03, 0.26, 66), Range(800, 6.6e3, 54e3), Range(1.8e3, 7.1e3, 461e3)
)
DNS: Final = Service(
    Range(2, 2, 4), Range(0.0006, 0.04, 0.28, 0.0002, 3), Range(30, 40, 82), Range(48, 95, 749)
)
SSH: Final = Service(
    Range(29, 46, 406), Range(0.56, 2.9, 9), Range(500, 2.8e3, 6.1e3), Range(550, 2.3e3, 535e3)
)
SMB: Final = Service(
    Range(103, 200, 1_140), Range(33, 162, 163, 1, 900), Range(4.4e3, 273e3, 1.4e6), Range(6e3, 40e3, 805e3)
)
SERVICES: Final = {"http": HTTP, "https": HTTPS, "quic": QUIC, "dns": DNS, "ssh": SSH, "smb": SMB}

# Times of the network and of people, seconds.
LOCAL_RTT: Final = Range(0.00015, 0.0006, 0.004)
SITE_RTT: Final = Range(0.003, 0.025, 0.17, 0.001, 0.35)
SERVER_THINK: Final = Range(0.0004, 0.009, 0.25, 0.0001, 2.0)
POLL_PERIOD: Final = Range(22, 120, 1_800, 22, 7_200)
HEARTBEAT: Final = Range(10, 45, 300, 10, 600)

# Attacks.
SCAN_TARGETS: Final = Range(10, 40, 100, 10, 254)
SCAN_PORTS: Final = Range(20, 120, 700, 20, 1_000)
GUESSES: Final = Range(11, 26, 47, 11, 120)  # in 300 s
BEACON_PERIOD: Final = Range(2, 15, 60, 2, 60)
BEACON_CONTACTS: Final = Range(12, 50, 200, 10, 300)
BEACON_JITTER: Final = Range(0.004, 0.12, 0.44, 0.001, 0.46)  # half-width / period; MAD/median is half of it
DEAD_TRIES: Final = Range(30, 90, 350, 27, 434)  # in 300 s
FLOOD_RATE: Final = Range(1e3, 4e3, 14e3, 1e3, 16e3)  # packets/s
DHCP_RATE: Final = Range(40, 100, 1_500, 30, 3e3)
ARP_RATE: Final = Range(3, 5, 60, 3, 255)  # requests/s
