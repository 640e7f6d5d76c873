"""Settings: defaults, then ``HOME/qwarden.toml``, then the environment; the last one wins.

``detect.idle_timeout_s`` is ``idle_timeout_s`` under ``[detect]`` in the file, and
``QWARDEN_DETECT__IDLE_TIMEOUT_S`` in the environment. An error names where the setting stands and
its key; an unknown key is an error, with the nearest known one.

This module imports pydantic, which takes its time: import it where settings are read, not at start-up.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from qwarden.core.errors import ConfigError

FILE = "qwarden.toml"
PREFIX = "QWARDEN_"
ENVIRONMENT = "environment"


class Section(BaseModel):
    """A table of the file: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DetectSettings(Section):
    """How traffic becomes flows and flows become findings."""

    fpr: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="False-positive budget: the share of benign flows that may alarm as one kind; without"
        " one, the model's own.",
    )
    ambiguity: float = Field(
        default=0.001,
        gt=0,
        lt=1,
        description="A finding that may be benign and may be an attack, both with a conformal p-value above"
        " this, is scored again.",
    )
    rescore_within_s: float = Field(
        default=60.0, ge=0, description="How soon after its alert, in traffic time."
    )
    second_opinion: bool = Field(
        default=True,
        description="Ask the model's second opinion, if it has one, about flows that show a behaviour and"
        " stay under the budget: do they hide?",
    )
    idle_timeout_s: float = Field(
        default=60.0, gt=0, description="A flow ends after this long without a packet, in traffic time."
    )
    active_timeout_s: float = Field(
        default=300.0, gt=0, description="A flow is reported after this long even if it goes on."
    )
    closed_linger_s: float = Field(
        default=5.0, ge=0, description="A closed TCP connection waits this long for late packets."
    )
    report_after_s: tuple[float, ...] = Field(
        default=(2.0, 30.0, 120.0),
        max_length=4,
        description="Ages at which a flow that still runs is looked at; none: flows are seen when they end."
        " In the environment: separated by commas.",
    )
    hold_s: float = Field(
        default=10.0,
        ge=0,
        description="How long flows of a live log or of exporters are held to be put in order, in wall time.",
    )
    max_flows: int = Field(
        default=262_144, ge=1, description="Open flows kept at once; the longest idle are ended first."
    )
    ignore: tuple[str, ...] = Field(
        default=(),
        description="Networks (CIDR) that raise no finding: their flows count as suppressed."
        " In the environment: separated by commas.",
    )
    notes: bool = Field(
        default=False, description="Also raise findings of severity info, such as long connections."
    )
    assets: str | None = Field(
        default=None, description="CSV with the columns address and name: what findings call hosts."
    )
    indicators: tuple[str, ...] = Field(
        default=(),
        description="CSV with the column indicator, or STIX 2.1 bundles: known addresses and names of domains"
        " that findings name. In the environment: separated by commas.",
    )
    outputs: tuple[str, ...] = Field(
        default=(),
        description="Where findings are told, as `--output` takes it."
        " In the environment: separated by commas.",
    )
    archive_mib: int = Field(
        default=512, ge=0, description="Disk that scored flows may take, to be found again; 0 keeps none."
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="Threads that share a large batch of flows to score, which changes no score;"
        " 0: one a core.",
    )

    @property
    def scoring_threads(self) -> int:
        """How many threads score: `threads`, or one for each core that this process may use."""
        return self.threads or len(os.sched_getaffinity(0))

    @field_validator("ignore", "report_after_s", "outputs", "indicators", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        """Take a TOML array as a tuple, and one text, as the environment's is, apart at its commas."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return tuple(value) if isinstance(value, list) else value

    @field_validator("report_after_s")
    @classmethod
    def rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        """Refuse ages that do not rise from above 0."""
        if list(value) != sorted(set(value)) or min(value, default=1.0) <= 0:
            raise ValueError("expected seconds above 0 that rise")
        return value

    @field_validator("ignore")
    @classmethod
    def networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse what is no network."""
        for network in value:
            ip_network(network, strict=False)
        return value


class StoreSettings(Section):
    """Where events are kept."""

    url: str | None = Field(
        default=None, description="SQLAlchemy URL of the store; without one, `qwarden.db` in the home folder."
    )


class ConsoleSettings(Section):
    """The page in the browser."""

    host: str = Field(
        default="127.0.0.1", description="Name or address the console is served at; others stay shut out."
    )
    port: int = Field(
        default=9443, ge=0, le=65535, description="Port of the console; 0 for any that is free."
    )
    session_hours: float = Field(
        default=12.0, gt=0, le=720, description="A session ends this long after signing in."
    )
    spool_mib: int = Field(
        default=512, ge=16, description="Disk that packets of a live interface may take; the oldest go first."
    )


class Settings(BaseSettings):
    """All settings of one Qwarden.

    Examples
    --------
    >>> Settings.load(Path("/nonexistent")).detect.idle_timeout_s
    60.0
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", enable_decoding=False, extra="forbid", frozen=True
    )

    detect: DetectSettings = Field(default=DetectSettings(), description="From traffic to findings.")
    store: StoreSettings = Field(default=StoreSettings(), description="Where events are kept.")
    console: ConsoleSettings = Field(default=ConsoleSettings(), description="The page in the browser.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file (which `load` hands over as arguments)."""
        return env_settings, init_settings

    @classmethod
    def load(cls, home: str | Path) -> Settings:
        """Read the settings of a home folder; without a file, defaults and environment.

        Raises
        ------
        ConfigError
            A setting is unknown, of the wrong type or out of range, or the file is no TOML.
        """
        path = Path(home) / FILE
        content = _read(path)
        _check_file(path, content)
        _check_environment()
        try:
            return cls(**content)
        except ValidationError as error:  # the file was found right, so it is the environment
            raise _config_error(ENVIRONMENT, (), error, environment=True) from error


class Setting(NamedTuple):
    """One setting, as documentation shows it."""

    key: str
    variable: str
    default: str
    description: str


def documented() -> Iterator[Setting]:
    """Yield every setting, in order."""
    for name, section in _sections().items():
        for key, field in section.model_fields.items():
            default = "none" if field.default in (None, ()) else str(field.default)
            yield Setting(f"{name}.{key}", _variable(name, key), default, field.description or "")


def _sections() -> dict[str, type[BaseModel]]:
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def _variable(*keys: str) -> str:
    return PREFIX + "__".join(keys).upper()


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:  # its text ends in "(at line 3, column 5)"
        raise ConfigError(path, "TOML", str(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, "TOML", f"is no UTF-8: byte {error.start}") from error
    except OSError as error:
        raise ConfigError(path, "file", error.strerror or "cannot be read") from error


def _check_file(path: Path, content: Mapping[str, Any]) -> None:
    sections = _sections()
    for name, table in content.items():
        if name not in sections:
            raise ConfigError(path, name, f"unknown section{_nearest(name, sections)}")
        if not isinstance(table, dict):
            raise ConfigError(path, name, f"expected a table, [{name}]")
        try:
            sections[name].model_validate(table, strict=True)
        except ValidationError as error:
            raise _config_error(path, (name,), error) from error


def _check_environment() -> None:
    # pydantic passes over variables of sections it does not know; a typing error would go unseen.
    for variable in sorted(os.environ):
        section, nested, _ = variable.removeprefix(PREFIX).partition("__")
        if variable.startswith(PREFIX) and nested and section.lower() not in _sections():
            known = {_variable(name): None for name in _sections()}
            raise ConfigError(ENVIRONMENT, variable, f"unknown section{_nearest(PREFIX + section, known)}")


def _config_error(
    source: str | Path, parents: tuple[str, ...], error: ValidationError, *, environment: bool = False
) -> ConfigError:
    first = error.errors(include_url=False)[0]
    keys = (*parents, *map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        section = _sections().get(keys[0])
        problem = f"unknown setting{_nearest(keys[-1], section.model_fields if section else _sections())}"
    else:
        problem = f"{first['msg'][0].lower()}{first['msg'][1:]}, found {first['input']!r}"
    if environment:
        problem += f" (in {_variable(*keys)})"
    return ConfigError(source, ".".join(keys), problem)


def _nearest(word: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(word, known, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
