"""Names of the ATT&CK techniques that findings carry.

Source: MITRE ATT&CK, Enterprise, v17 (https://attack.mitre.org).
"""

from __future__ import annotations

from typing import Final, NamedTuple

FRAMEWORK: Final = "MITRE ATT&CK"


class Tactic(NamedTuple):
    """Why an adversary acts."""

    id: str
    name: str

    @property
    def url(self) -> str:
        """Its page."""
        return f"https://attack.mitre.org/tactics/{self.id}/"


class Technique(NamedTuple):
    """How an adversary acts; of a sub-technique `id` and `name` are its own, `parent` is what it refines."""

    id: str
    name: str
    tactic: Tactic | None
    parent: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        """Its page."""
        return technique_url(self.id)


DISCOVERY: Final = Tactic("TA0007", "Discovery")
CREDENTIAL_ACCESS: Final = Tactic("TA0006", "Credential Access")
IMPACT: Final = Tactic("TA0040", "Impact")
COMMAND_AND_CONTROL: Final = Tactic("TA0011", "Command and Control")
EXFILTRATION: Final = Tactic("TA0010", "Exfiltration")

_ALL: Final = (
    Technique("T1008", "Fallback Channels", COMMAND_AND_CONTROL),
    Technique("T1018", "Remote System Discovery", DISCOVERY),
    Technique("T1046", "Network Service Discovery", DISCOVERY),
    Technique("T1048", "Exfiltration Over Alternative Protocol", EXFILTRATION),
    Technique("T1071", "Application Layer Protocol", COMMAND_AND_CONTROL),
    Technique("T1071.001", "Web Protocols", COMMAND_AND_CONTROL, ("T1071", "Application Layer Protocol")),
    Technique("T1071.004", "DNS", COMMAND_AND_CONTROL, ("T1071", "Application Layer Protocol")),
    Technique("T1095", "Non-Application Layer Protocol", COMMAND_AND_CONTROL),
    Technique("T1110.001", "Password Guessing", CREDENTIAL_ACCESS, ("T1110", "Brute Force")),
    Technique("T1498", "Network Denial of Service", IMPACT),
    Technique("T1498.001", "Direct Network Flood", IMPACT, ("T1498", "Network Denial of Service")),
    Technique("T1557.002", "ARP Cache Poisoning", CREDENTIAL_ACCESS, ("T1557", "Adversary-in-the-Middle")),
)
TECHNIQUES: Final = {technique.id: technique for technique in _ALL}


def technique(id: str | None) -> Technique | None:
    """Return a technique by its id; one that is not listed is called by its id; None for none.

    >>> technique("T1046").name, technique("T9999.001").parent, technique("")
    ('Network Service Discovery', ('T9999', 'T9999'), None)
    """
    if not id:
        return None
    above = id.partition(".")[0]
    return TECHNIQUES.get(id) or Technique(id, id, None, (above, above) if above != id else None)


def technique_url(id: str) -> str:
    """Return the page of a technique or sub-technique.

    >>> technique_url("T1071.004")
    'https://attack.mitre.org/techniques/T1071/004/'
    """
    return f"https://attack.mitre.org/techniques/{id.replace('.', '/')}/"
