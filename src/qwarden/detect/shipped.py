"""The model that ships with the package, and the key that vouches for it.

``shipped/`` holds the model's arrays and JSON and the public half of the key that signed it. The key is
made for one build and its private half is forgotten afterwards: nobody can sign another model that
this version would take for the shipped one (docs/adr/0004). ``shipped/second_opinion/`` holds in the same way
the second opinion that stands beside it, with a key of its own: either can be built without the other.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from qwarden.core.errors import ModelError
from qwarden.core.files import atomic_write
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.detect.evasion import EvasionOpinion
from qwarden.detect.model import ThreatModel

FOLDER: Final = Path(__file__).parent / "shipped"
SECOND: Final = "second_opinion"
KEY_FILE: Final = "key.json"


@cache
def load_default_model() -> ThreatModel:
    """Return the shipped model, its second opinion beside it; `ModelError` if it is absent or was changed."""
    model = ThreatModel.load(FOLDER, shipped_key())
    if (FOLDER / SECOND).exists():
        model.second = second_opinion(model, FOLDER, _trusted(FOLDER / SECOND / KEY_FILE))
    return model


def second_opinion(model: ThreatModel, folder: Path, trusted: TrustedKeys) -> EvasionOpinion | None:
    """Return the second opinion that lies beside a model's files in `folder`, None if there is none.

    Raises
    ------
    ModelError
        It was changed, is foreign, or was trained to stand beside another model.
    """
    if not (folder / SECOND).exists():
        return None
    found = EvasionOpinion.load(folder / SECOND, trusted)
    if found.beside != f"{model.name} {model.version}":
        raise ModelError(folder / SECOND, f"stands beside {found.beside}: train one for this model")
    return found


def ship(model: ThreatModel | EvasionOpinion, fingerprint: str, folder: Path = FOLDER) -> None:
    """Sign `model` with a key made for the occasion and write both into `folder`."""
    key = SigningKey.generate()
    model.save(folder, key, created=datetime.now(UTC).isoformat(timespec="seconds"), fingerprint=fingerprint)
    document = {"id": key.id, "ed25519": key.public.hex()}
    atomic_write(folder / KEY_FILE, (json.dumps(document, indent=1) + "\n").encode())


def shipped_key() -> TrustedKeys:
    """Return the key that vouches for the shipped model."""
    return _trusted(FOLDER / KEY_FILE)


def _trusted(path: Path) -> TrustedKeys:
    try:
        return TrustedKeys.of(bytes.fromhex(json.loads(path.read_bytes())["ed25519"]))
    except FileNotFoundError:
        raise ModelError(path, "is missing: run `qwarden models build`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(path, f"is no public key: {error}") from error
