"""How a person sees keys: plain text, coloured on a terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from qwarden.core.files import Json
    from qwarden.keys.link import Link
    from qwarden.keys.optimise import Found
    from qwarden.keys.simulate import Simulated


def simulated_text(done: Simulated, link: Link) -> str:
    """Return a simulation as a table of its attempts and a last line that sums them up."""
    lines = [
        f"{done.protocol} over {link.distance_km:g} km, simulated",
        f"{'attempt':>7}  {'QBER':>6}  {'disclosed':>10}  {'secret':>9}  outcome",
    ]
    for one in done.attempts:
        block = one.block
        qber = f"{block.qber:.2%}" if block.qber == block.qber else "-"
        outcome = typer.style("accepted", fg="green") if block.accepted else typer.style("dropped", fg="red")
        why = one.alarm or block.reason
        lines.append(
            f"{one.attempt:>7}  {qber:>6}  {sum(block.leaks.values()):>10,}  {block.key.size:>9,}  {outcome}"
            + (f": {why}" if why else "")
        )
    document = done.to_json()
    lines.append(
        f"{document['accepted']} accepted, {document['aborted']} dropped: {done.secret_bits:,} secret bits, "
        f"{done.secret_bits // 256:,} keys of 256 bits"
    )
    return "\n".join(lines)


def found_document(found: Found) -> Json:
    """Return found settings as JSON."""
    settings = found.settings
    return {
        **{name: value for name, value in asdict(found).items() if name != "settings"},
        "settings": {
            "protocol": settings.protocol,
            "intensities": list(settings.intensities),
            "probabilities": list(settings.probabilities),
            "key_basis": settings.key_basis,
            "block_bits": settings.block_bits,
        },
    }


def found_text(found: Found) -> str:
    """Return found settings as a few lines."""
    settings = found.settings
    mu = ", ".join(f"{value:.3g}" for value in settings.intensities)
    shares = ", ".join(f"{value:.3g}" for value in settings.probabilities)
    light = "" if settings.protocol == "e91" else f"; intensities {mu} in shares {shares}"
    return (
        f"{found.method:<9} {found.rate:.3e} secret bits a pulse, {found.bits_per_s:,.0f} a second "
        f"({found.looks} looks)\n"
        f"{'':<9} key basis {settings.key_basis:.3f}{light}\n"
        f"{'':<9} a block of {settings.block_bits:,} bits takes {found.block_s:.2f} s; "
        f"{found.keys_per_renewal:,} keys of 256 bits between renewals of 30 min"
    )
