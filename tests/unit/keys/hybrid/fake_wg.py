"""A `wg` that records how it was called."""

from __future__ import annotations

import base64
from pathlib import Path

PEER = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()

FAKE = """#!/bin/sh
# Says what it was called with, and what it was given; shows what lies beside it.
here=$(dirname "$0")
if [ "$1" = show ]; then cat "$here/$3"; exit; fi
if [ -e "$here/broken" ]; then echo "Unable to modify interface: Operation not permitted" >&2; exit 1; fi
n=$(ls "$here" | grep -c '^call-')
for argument in "$@"; do printf '%s\\n' "$argument"; done > "$here/call-$n"
cat > "$here/given-$n"
"""


class FakeWg:
    """A program in a folder, and what it was called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "wg"
        self.program.write_text(FAKE)
        self.program.chmod(0o700)
        self.shows("allowed-ips", "10.10.0.2/32 fd00::2/128")
        self.shows("endpoints", "192.0.2.7:51820")
        self.shows("persistent-keepalive", "off")

    def shows(self, what: str, value: str) -> None:
        (self.folder / what).write_text(f"{OTHER}\t10.10.9.9/32\n{PEER}\t{value}\n")

    def calls(self) -> list[list[str]]:
        return [self._file("call", n).read_text().splitlines() for n in range(self._count())]

    def given(self) -> list[bytes]:
        return [base64.b64decode(self._file("given", n).read_bytes()) for n in range(self._count())]

    def _count(self) -> int:
        return len(list(self.folder.glob("call-*")))

    def _file(self, kind: str, n: int) -> Path:
        return self.folder / f"{kind}-{n}"
