"""What the engine is handed beside a program: the read-out and the map of its memory."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.quantum.backends._lanes import WIDTH
from qwarden.quantum.backends._tree import Tree, plant
from qwarden.quantum.pauli import PauliSum

LINE: Final = 64
"""Bytes of a cache line."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Readout(NamedTuple):
    """The observables: where their numbers stand among `ReadoutArrays`."""

    node_count: int
    """Nodes of the tree over the Z masks; they stand first."""
    z_terms: int
    """Pairs (number of the mask, observable) of the terms made of Z and I."""
    z_count: int
    x_terms: int
    """Triples (x mask, z mask, observable) of the other terms."""
    x_count: int
    observables: int
    masks: int
    tree_rows: int


@lru_cache(maxsize=256)
def compile_readout(observables: tuple[PauliSum, ...]) -> tuple[Ints, Floats, Readout]:
    """Return the read-out of the observables: its integers, the terms' coefficients, and the places."""
    slots: dict[int, int] = {}
    z_terms: list[int] = []
    x_terms: list[int] = []
    z_coefficients: list[float] = []
    x_coefficients: list[float] = []
    for k, observable in enumerate(observables):
        for term in observable.terms:
            if term.x:
                x_terms += (term.x, term.z, k)
                x_coefficients.append(term.coefficient)
            else:
                z_terms += (slots.setdefault(term.z, len(slots)), k)
                z_coefficients.append(term.coefficient)
    tree = plant(slots) if slots else Tree(Tree.NOTHING, 0)
    readout = Readout(
        node_count=len(tree.nodes),
        z_terms=tree.nodes.size,
        z_count=len(z_coefficients),
        x_terms=tree.nodes.size + len(z_terms),
        x_count=len(x_coefficients),
        observables=len(observables),
        masks=len(slots),
        tree_rows=tree.rows,
    )
    ints = np.array([*tree.nodes.ravel().tolist(), *z_terms, *x_terms], dtype=np.int64)
    return ints, np.array(z_coefficients + x_coefficients, dtype=np.float64), readout


class Layout(NamedTuple):
    """Where things stand in the working memory, in numbers (not lanes)."""

    plane: int
    """Size of a plane: ``4 * 2**q`` numbers."""
    planes: int
    """2, or 1 where all amplitudes are real."""
    state: int
    spare: int
    adjoint: int
    cos: int
    sin: int
    slots: int
    """The slots' angles, and on the way back their gradients."""
    re: int
    im: int
    """Rows of the phase tree."""
    tree: int
    """Real rows of a tree: gradients, expectation values, adjoint weights."""
    values: int
    """One lane each mask of the read-out."""
    energies: int
    """One lane each observable: its expectation value, or the loss's slope by it."""
    scratch: int
    size: int
    """Numbers in all."""


@lru_cache(maxsize=256)
def lay_out(
    qubits: int, slots: int, node_rows: int, readout: Readout, planes: int, backwards: bool
) -> Layout:
    """Return the least layout for a forward sweep, or for both."""
    plane = WIDTH << qubits
    sizes: dict[str, int] = {
        "state": planes * plane,
        "spare": planes * plane,
        "adjoint": planes * plane * backwards,
        "cos": slots * WIDTH,
        "sin": slots * WIDTH,
        "slots": slots * WIDTH,
        "re": node_rows * WIDTH,
        "im": node_rows * WIDTH,
        "tree": max(readout.tree_rows, node_rows * backwards) * WIDTH,
        "values": readout.masks * WIDTH,
        "energies": readout.observables * WIDTH,
        "scratch": 8 * WIDTH,
        "slack": LINE // 8,
    }
    *starts, size = np.cumsum([0, *sizes.values()]).tolist()
    places = dict(zip(sizes, starts, strict=True))
    del places["slack"]
    return Layout(plane=plane, planes=planes, size=size, **places)
