"""The local back end: exact simulation of state vectors on this machine.

It compiles a circuit once to a small program (`_program`) and interprets it for four rows at a time
(`_engine`). Where the whole batch shares one row of angles, the circuit is one matrix, and the batch
costs two matrix products however long the circuit is (`_shared`).

A row's result does not depend, to the last bit, on which batch it stands in, except on that last way,
where the matrix product may sum in another order for another batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, overload

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum.backend import Pullback
from qwarden.quantum.backends import _shared
from qwarden.quantum.backends._engine import run_backward, run_forward
from qwarden.quantum.backends._lanes import WIDTH
from qwarden.quantum.backends._layout import LINE, Floats, compile_readout, lay_out
from qwarden.quantum.backends._program import Program, compile_circuit
from qwarden.quantum.backends._sampling import basis_groups, estimate
from qwarden.quantum.circuit import Angle, Circuit, ComplexArray, FloatArray
from qwarden.quantum.pauli import PauliSum
from qwarden.quantum.precision import Precision, SingleComplexArray, StateArray

_NONE: Final[Floats] = np.zeros((0, 0))


class LocalBackend:
    """Simulates circuits exactly; keeps the contract `qwarden.quantum.backend.StateBackend`.

    Parameters
    ----------
    memory_bytes : how much working memory a call may take beside its arguments and results. Within it,
        final states are kept between a forward and a backward sweep; beyond it they are computed again.

    Raises
    ------
    UsageError : from every method: angles of the wrong shape or not finite, an observable on more qubits
        than the circuit has, initial states of the wrong shape, or too little memory for the circuit.

    >>> import numpy as np
    >>> from qwarden.quantum import Angle, Circuit, PauliSum
    >>> circuit = Circuit(1).ry(0, Angle(0))
    >>> E, pullback = LocalBackend().expectations_and_pullback(circuit, [[np.pi / 2]], [PauliSum.z(0)])
    >>> E.round(12).tolist(), pullback([[1.0]]).round(12).tolist()
    ([[0.0]], [[-1.0]])
    """

    def __init__(self, memory_bytes: int = 512 << 20) -> None:
        if memory_bytes < 1:
            raise UsageError(f"memory_bytes is {memory_bytes}: expected a positive number")
        self.memory_bytes = memory_bytes

    @overload
    def states(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        initial: ComplexArray | None = None,
        *,
        precision: Literal["double"] = "double",
    ) -> ComplexArray: ...
    @overload
    def states(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        initial: ComplexArray | None = None,
        *,
        precision: Literal["single"],
    ) -> SingleComplexArray: ...
    def states(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        initial: ComplexArray | None = None,
        *,
        precision: Precision = "double",
    ) -> StateArray:
        """Return the state vectors, complex128 of shape (n, 2**q).

        Parameters
        ----------
        precision : ``single`` rounds them to complex64 as they are written; kernels and forms of such
            states are computed in float32 (`qwarden.quantum.precision`).

        >>> circuit = Circuit(1).ry(0, Angle(0))
        >>> LocalBackend().states(circuit, [[0.0]], precision="single")
        array([[1.+0.j, 0.+0.j]], dtype=complex64)
        """
        if precision not in ("double", "single"):
            raise UsageError(f"unknown precision {precision!r}: expected double or single")
        single = precision == "single"
        call = _Call(self.memory_bytes, circuit, angles, initial, ())
        if call.shared is not None:
            states = call.shared_states(_NONE).states()
            return states.astype(np.complex64) if single else states
        return call.forward_single_states() if single else call.forward_states(_NONE)

    def expectations(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        observables: Sequence[PauliSum],
        initial: ComplexArray | None = None,
        shots: int | None = None,
        seed: int | None = None,
    ) -> FloatArray:
        """Return the expectation values of Pauli sums, shape (n, observables).

        Parameters
        ----------
        shots : measurements for each group of terms that can be measured together (each qubit in one
            basis); None returns the exact values.
        seed : seed of the measurements; needed with `shots`.
        """
        if shots is not None:
            return self._estimates(circuit, angles, observables, initial, shots, seed)
        call = _Call(self.memory_bytes, circuit, angles, initial, observables)
        if call.shared is not None:
            return call.shared_readout(_NONE).expectations()
        return call.forward_expectations(_NONE)

    def expectations_and_pullback(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        observables: Sequence[PauliSum],
        initial: ComplexArray | None = None,
    ) -> tuple[FloatArray, Pullback]:
        """Return the expectation values, shape (n, observables), and their pullback.

        ``pullback(d loss / d expectations)`` is d loss / d angles, of the shape of `angles` (summed over
        the batch where the angles are shared).

        Source: Jones and Gacon 2020, "Efficient calculation of gradients in classical simulations of
        variational quantum algorithms", algorithm 1.
        """
        call = _Call(self.memory_bytes, circuit, angles, initial, observables, backwards=True)
        shared, batch = call.shared, None
        kept = (shared or call).room_to_keep()
        if shared is None:
            values = call.forward_expectations(kept)
        else:
            batch = call.shared_readout(kept)
            values = batch.expectations()

        def pullback(slopes: npt.ArrayLike) -> FloatArray:
            given: FloatArray = _own(np.ascontiguousarray(slopes, dtype=np.float64))
            if given.shape != values.shape:
                raise UsageError(f"the slopes must have the shape {values.shape}, not {given.shape}")
            if shared is None or batch is None:
                return call.backward(kept, given, _NONE)
            return shared.backward(kept, _NONE, batch.cotangent(given).view(np.float64))

        return values, pullback

    def states_and_pullback(
        self, circuit: Circuit, angles: npt.ArrayLike, initial: ComplexArray | None = None
    ) -> tuple[ComplexArray, Pullback]:
        """Return the state vectors, shape (n, 2**q), and their pullback.

        The cotangent, complex of shape (n, 2**q), means: the loss changes by ``Re sum conj(cot) * dS``.
        """
        call = _Call(self.memory_bytes, circuit, angles, initial, (), backwards=True)
        shared, batch = call.shared, None
        kept = (shared or call).room_to_keep()
        if shared is None:
            states = call.forward_states(kept)
        else:
            batch = call.shared_states(kept)
            states = batch.states()

        def pullback(cotangents: npt.ArrayLike) -> FloatArray:
            given: ComplexArray = _own(np.ascontiguousarray(cotangents, dtype=np.complex128))
            if given.shape != states.shape:
                raise UsageError(f"the cotangent must have the shape {states.shape}, not {given.shape}")
            if shared is None or batch is None:
                return call.backward(kept, _NONE, given.view(np.float64))
            return shared.backward(kept, _NONE, batch.cotangent(given).view(np.float64))

        return states, pullback

    def sample(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        shots: int,
        seed: int,
        initial: ComplexArray | None = None,
    ) -> npt.NDArray[np.int64]:
        """Return how often each basis state was found in `shots` measurements, shape (n, 2**q).

        The same seed finds the same counts, whatever the memory budget.
        """
        if shots < 1:
            raise UsageError(f"shots is {shots}: expected 1 or more")
        return self._sample(circuit, angles, shots, np.random.default_rng(seed), initial)

    # Finite shots.

    def _sample(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        shots: int,
        generator: np.random.Generator,
        initial: ComplexArray | None,
    ) -> npt.NDArray[np.int64]:
        call = _Call(self.memory_bytes, circuit, angles, initial, ())
        counts = np.empty((call.rows, circuit.dimension), dtype=np.int64)
        step = max(1, self.memory_bytes // (64 * circuit.dimension))
        for first in range(0, call.rows, step):
            part = slice(first, min(first + step, call.rows))
            states = self.states(
                circuit,
                call.angles if len(call.angles) == 1 else call.angles[part],
                None if call.start is None else call.start if len(call.start) == 1 else call.start[part],
            )
            chances = states.real**2 + states.imag**2
            chances /= chances.sum(axis=1, keepdims=True)
            counts[part] = generator.multinomial(shots, chances, size=len(chances))
        return counts

    def _estimates(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        observables: Sequence[PauliSum],
        initial: ComplexArray | None,
        shots: int,
        seed: int | None,
    ) -> FloatArray:
        if shots < 1 or seed is None:
            raise UsageError("a sampled expectation value needs shots >= 1 and a seed")
        call = _Call(self.memory_bytes, circuit, angles, initial, observables)
        generator = np.random.default_rng(seed)
        values = np.zeros((call.rows, len(observables)))
        for group in basis_groups(observables):
            measured = circuit.then(group.change_of_basis(circuit.qubits))
            counts = self._sample(measured, call.angles, shots, generator, call.start)
            values += estimate(group, counts, len(observables))
        return values


class _Call:
    """One call's checked arguments, program and layout."""

    def __init__(
        self,
        memory: int,
        circuit: Circuit,
        angles: npt.ArrayLike,
        initial: ComplexArray | None,
        observables: Sequence[PauliSum],
        *,
        backwards: bool = False,
        basis: bool = False,
    ) -> None:
        self.memory = memory
        self.dimension = circuit.dimension
        self.angles = _own(circuit.check_angles(angles))
        self.start = None if initial is None else _check_initial(circuit, initial, len(self.angles))
        starts = len(self.angles) if self.start is None else len(self.start)
        self.rows = max(len(self.angles), starts) if len(self.angles) and starts else 0
        self.observables = tuple(observables)
        for observable in self.observables:
            if observable.qubits > circuit.qubits:
                raise UsageError(
                    f"{observable} acts on {observable.qubits} qubits, the circuit has {circuit.qubits}"
                )
        self._readout = compile_readout(self.observables)
        self._program = program = program_of(circuit, initial is None)
        readout = self._readout[2]
        real = program.real and (initial is None or basis) and not readout.x_count
        self._at = lay_out(
            program.qubits, program.code.slots, program.node_rows, readout, 1 if real else 2, backwards
        )
        needed = 8 * (self._at.size + backwards * self._at.planes * self._at.plane)
        if needed > memory:
            raise UsageError(
                f"{circuit.qubits} qubits need {needed} bytes of working memory; memory_bytes is {memory}"
            )
        self.shared: _Call | None = None
        """The same circuit on the basis states, where that is the cheaper way."""
        given = self.start is not None and len(self.angles) == 1 and not basis
        room = memory // (64 * self.dimension)  # for parts, products and weights of that many rows
        if given and self.rows <= room and _shared.pays(self.dimension, self.rows, self.observables):
            ground = _shared.basis_states(self.dimension)
            self.shared = _Call(memory, circuit, self.angles, ground, (), backwards=backwards, basis=True)

    def shared_states(self, kept: Floats) -> _shared.SharedStates:
        """Return the batch's final states by the matrix that `shared` finds."""
        assert self.shared is not None
        assert self.start is not None
        images = self.shared.forward_states(kept)
        return _shared.SharedStates(images, self._program.real, self.start)

    def shared_readout(self, kept: Floats) -> _shared.SharedReadout:
        """Return the batch's expectation values by the matrix that `shared` finds."""
        assert self.shared is not None
        assert self.start is not None
        images = self.shared.forward_states(kept)
        return _shared.SharedReadout(images, self._program.real, self.start, self.observables)

    def room_to_keep(self) -> Floats:
        """Return room for all final tiles if the budget has it, else nothing."""
        return self._tiles(self.rows) if self.rows <= self._rows_at_once else _NONE

    def forward_states(self, kept: Floats) -> ComplexArray:
        """Return the final states."""
        states = _aligned(2 * self.rows * self.dimension).reshape(self.rows, 2 * self.dimension)
        self._forward(slice(0, self.rows), states, _NONE, kept)
        return states.view(np.complex128)

    def forward_single_states(self) -> SingleComplexArray:
        """Return the final states, rounded; in them an amplitude has the room of one number."""
        states = _aligned(self.rows * self.dimension).reshape(self.rows, self.dimension)
        self._forward(slice(0, self.rows), states, _NONE, _NONE, single=True)
        return states.view(np.complex64)

    def forward_expectations(self, kept: Floats) -> FloatArray:
        """Return the expectation values."""
        values = np.empty((self.rows, len(self.observables)))
        self._forward(slice(0, self.rows), _NONE, values, kept)
        return values

    def backward(self, kept: Floats, slopes: Floats, cotangents: Floats) -> FloatArray:
        """Return d loss / d angles, from the kept tiles or, part by part, from new ones."""
        out = np.zeros_like(self.angles)
        if len(kept):
            self._backward(slice(0, self.rows), kept, slopes, cotangents, out)
            return out
        tiles, step = self._tiles(self._rows_at_once), self._rows_at_once
        for first in range(0, self.rows, step):
            part = slice(first, min(first + step, self.rows))
            self._forward(part, _NONE, np.empty((step, len(self.observables))), tiles)
            self._backward(part, tiles, slopes, cotangents, out)
        return out

    @property
    def _rows_at_once(self) -> int:
        """How many rows' final tiles the budget has room for (always one tile)."""
        tile = self._at.planes * self._at.plane * 8
        return max(1, (self.memory - self._at.size * 8) // tile) * WIDTH

    def _tiles(self, rows: int) -> Floats:
        size = self._at.planes * self._at.plane
        return _aligned(-(-rows // WIDTH) * size).reshape(-1, size)

    def _forward(
        self, part: slice, states: Floats, values: Floats, kept: Floats, *, single: bool = False
    ) -> None:
        ints, floats, readout = self._readout
        run_forward(
            self._program.ints,
            self._program.floats,
            self._program.code,
            ints,
            floats,
            readout,
            self._at,
            np.empty(self._at.size),
            part.stop - part.start,
            _rows(self.angles, part),
            _NONE if self.start is None else _rows(self.start.view(np.float64), part),
            states,
            single,
            values,
            kept,
        )

    def _backward(
        self, part: slice, kept: Floats, slopes: Floats, cotangents: Floats, out: FloatArray
    ) -> None:
        ints, floats, readout = self._readout
        run_backward(
            self._program.ints,
            self._program.floats,
            self._program.code,
            ints,
            floats,
            readout,
            self._at,
            np.empty(self._at.size),
            part.stop - part.start,
            _rows(self.angles, part),
            kept,
            slopes[part],
            cotangents[part],
            _rows(out, part),
        )


def _own(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array as one that may be written to: the engine is compiled for that kind alone."""
    return array if array.flags.writeable else array.copy()


def _aligned(size: int) -> Floats:
    """Return room for numbers that begins with a cache line: four lanes then never straddle two."""
    room = np.empty(size + LINE // 8 - 1)
    start = -room.ctypes.data // 8 % (LINE // 8)
    return room[start : start + size]


def _rows(array: Floats, part: slice) -> Floats:
    """Return the rows of `part`, or the single row that serves all."""
    return array if len(array) == 1 else array[part]


def _check_initial(circuit: Circuit, initial: ComplexArray, rows: int) -> ComplexArray:
    start: ComplexArray = _own(np.ascontiguousarray(initial, dtype=np.complex128))
    if start.ndim != 2 or start.shape[1] != circuit.dimension:
        raise UsageError(f"initial states must have the shape (n, {circuit.dimension}), not {start.shape}")
    if len(start) != rows and 1 not in (len(start), rows):
        raise UsageError(f"{rows} rows of angles do not match {len(start)} initial states")
    return start


def program_of(circuit: Circuit, from_zero: bool) -> Program:
    """Return the circuit's program, compiled at its first use and kept with the circuit."""
    program = circuit.compiled.get(from_zero)
    if not isinstance(program, Program):
        program = circuit.compiled[from_zero] = compile_circuit(circuit, from_zero)
    return program


def warm_up() -> None:
    """Run every compiled function once, so that it is compiled and in Numba's cache on disk.

    Set-up calls this; the first alert then does not wait for a compiler.
    """
    from qwarden.quantum.kernels import fidelity_kernel
    from qwarden.quantum.primal import density_features
    from qwarden.quantum.projected import projected_features
    from qwarden.quantum.scoring import RowScorer

    backend, observables = LocalBackend(), [PauliSum.z(0)]
    circuit = Circuit(2).ry(0, Angle(0)).rz(1, Angle(1)).cx(0, 1)
    values, pullback = backend.expectations_and_pullback(circuit, np.zeros((5, 2)), observables)
    pullback(values)
    states = backend.states(circuit, np.zeros((5, 2)))
    fidelity_kernel(states)
    fidelity_kernel(states, states)
    density_features(states)
    projected_features(states)
    rounded = backend.states(circuit, np.zeros((5, 2)), precision="single")
    fidelity_kernel(rounded)
    fidelity_kernel(rounded, rounded)
    RowScorer(circuit, np.eye(2), np.zeros(2), np.zeros(2), np.zeros(4))(np.zeros((1, 2)))
    turning = Circuit(1).ry(0, Angle(0))  # real, and shared by the batch
    several = np.ones((8, 2), dtype=np.complex128)
    values, pullback = backend.expectations_and_pullback(turning, [[0.0]], observables, several)
    pullback(values)
