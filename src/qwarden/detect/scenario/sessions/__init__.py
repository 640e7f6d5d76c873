"""Sessions: one exchange of one service, in the shape real ones have.

A session is a function of the world, who talks, when and how much; it plays turns on the wire and
returns when it ended. Habits (`benign`) decide who has which session when; `attacks` misuse the same
sessions, so that an attacker's login differs from a person's by its behaviour and not by its bytes.

- `web`: HTTP, HTTPS, QUIC
- `names`: DNS, and the small UDP services of every network
- `logins`: SSH, FTP, mail, remote desktops, databases
- `guesses`: a login that fails, as a tool repeats it
- `windows`: SMB, DCE-RPC, Kerberos, LDAP
- `link`: ARP, DHCP, ICMP, neighbour discovery
"""
