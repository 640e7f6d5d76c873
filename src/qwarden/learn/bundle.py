"""Several fitted parts that belong together, stored and loaded as one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar

from qwarden.learn.base import Array, Estimator, State

PartT = TypeVar("PartT", bound=Estimator)


class Bundle(Mapping[str, Estimator]):
    """Fitted estimators by name, with JSON notes about how they belong together.

    Parameters
    ----------
    parts : fitted estimators of the classes that `qwarden.learn.storage` knows.
    notes : JSON values: column names, thresholds, what the model was trained on.
    arrays : plain arrays that belong to no part, as examples kept for explanations.

    Examples
    --------
    >>> from qwarden.learn import NeighborDistanceTwin
    >>> bundle = Bundle({"twin": NeighborDistanceTwin().fit([[0.0], [1.0], [2.0]])}, {"columns": ["x"]})
    >>> bundle.part("twin", NeighborDistanceTwin).nearest([[0.9]], 1)[1].tolist()
    [[1]]
    """

    def __init__(
        self,
        parts: Mapping[str, Estimator],
        notes: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Array] | None = None,
    ) -> None:
        self._parts = dict(parts)
        self.arrays: dict[str, Array] = dict(arrays or {})
        self.notes: dict[str, Any] = dict(notes or {})

    def part(self, name: str, kind: type[PartT]) -> PartT:
        """Return the part called `name`, which is a `kind`.

        Raises
        ------
        KeyError
            If there is no such part.
        TypeError
            If it is of another class.
        """
        found = self._parts[name]
        if not isinstance(found, kind):
            raise TypeError(f"the part {name!r} is a {type(found).__name__}, not a {kind.__name__}")
        return found

    def __getitem__(self, name: str) -> Estimator:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def to_state(self) -> State:
        """Return the parts' states and their classes' names."""
        return State(
            facts={
                "classes": {name: type(part).__name__ for name, part in self.items()},
                "notes": self.notes,
            },
            arrays=self.arrays,
            parts={name: part.to_state() for name, part in self.items()},
        )

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the bundle; a class the registry does not know is a `KeyError`."""
        from qwarden.learn.storage import ESTIMATORS

        kinds = state.facts["classes"]
        return cls(
            {name: ESTIMATORS[kinds[name]].from_state(part) for name, part in state.parts.items()},
            state.facts["notes"],
            state.arrays,
        )
