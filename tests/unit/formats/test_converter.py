"""The cage of a converter, seen from inside: a program that tries to break out of it."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qwarden.formats.sandbox import landlock, seccomp

needs_perl = pytest.mark.skipif(shutil.which("perl") is None, reason="perl is not installed")
pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="the cage is Linux's")

BOOT = """
import os, sys
from pathlib import Path
from qwarden.formats.sandbox import converter
with open(sys.argv[1], "rb") as file:
    os.dup2(file.fileno(), 0)
os.closerange(3, 100)
converter.run(sys.argv[2], sys.argv[2:], [Path("/dev/null")])
"""

ESCAPES = r"""
$| = 1;
sub refused {
    my ($what, $attempt) = @_;
    my $done = $attempt->();
    my $reason = $!;
    print $what, " ", ($done ? "SUCCEEDED" : "refused: $reason"), "\n";
}
refused("read", sub { open(my $file, "<", "/etc/passwd") });
refused("list", sub { opendir(my $folder, "/tmp") });
refused("write", sub { open(my $file, ">", "/tmp/qwarden-escape") });
refused("network", sub { socket(my $socket, 2, 1, 0) });
refused("fork", sub { my $child = fork(); exit if defined($child) && $child == 0; defined($child) });
refused("run", sub { exec { "/bin/sh" } "sh", "-c", "echo run SUCCEEDED" });
refused("signal", sub { kill(0, getppid()) });
open(my $file, "<", "/dev/stdin");
print "file ", join("", <$file>), "\n";
"""


@needs_perl
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_file_can_be_read_and_nothing_else_be_done(mode: int, tmp_path: Path) -> None:
    """Whether it runs as nobody or, where only the owner may read the file, as the owner."""
    path = tmp_path / "input"
    path.write_text("it is read")
    path.chmod(mode)
    done = subprocess.run(
        [sys.executable, "-c", BOOT, str(path), shutil.which("perl") or "", "-e", ESCAPES],
        capture_output=True,
        text=True,
        timeout=60,
    )
    confined = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert confined["file"] == "it is read", done
    for attempt in ("network", "fork", "run", "signal"):
        assert confined[attempt].startswith("refused"), confined
    if landlock.version():
        for attempt in ("read", "list", "write"):
            assert confined[attempt] == "refused: Permission denied", confined


def test_it_is_not_run_where_calls_cannot_be_filtered(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_text("x")
    script = BOOT.replace(
        "with open",
        "from qwarden.formats.sandbox import seccomp\n"
        "seccomp.install = lambda **_: 'this kernel has none'\n"
        "with open",
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), "/bin/echo", "it runs"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "it runs" not in done.stdout
    assert done.stdout.startswith("!")
    assert done.stdout.endswith("is not run: [Errno 1] this kernel has none\n")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_lets_threads_begin_and_processes_not(machine: str) -> None:
    """The filter, run by hand on what the kernel would show it."""
    arch = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    clone, execve, socket = {"x86_64": (56, 59, 41), "aarch64": (220, 221, 198)}[machine]
    allow, deny, absent = 0x7FFF0000, 0x00050001, 0x00050026

    def verdict(number: int, argument: int = 0, of: int = arch) -> int:
        words = {0: number, 4: of, 16: argument, 32: 0}
        code, at, value = seccomp.converter_program(machine), 0, 0
        while True:
            operation, yes, no, operand = code[at]
            if operation == 0x06:
                return operand
            if operation == 0x20:
                value = words[operand]
                at += 1
                continue
            hit = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[operation]
            at += 1 + (yes if hit else no)

    assert verdict(clone, 0x10F00) == allow
    assert verdict(clone, 0x11) == deny
    assert verdict(435) == absent  # clone3: as if the kernel had none
    assert verdict(execve) == allow
    assert verdict(socket) == deny
    assert verdict(execve, of=0x40000003) == 0x80000000  # another ABI
