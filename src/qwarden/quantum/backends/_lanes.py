"""Four numbers in one register: the vector type the compiled loops are written in.

A `Lanes` value holds the same quantity for four rows of the batch. Loops over it are vector code by
construction, so their speed does not hang on what a compiler's auto-vectoriser can prove, and every lane
sees the same IEEE operations in the same order: a row's result does not depend on its neighbours.

Inside `compiled` functions `Lanes` supports ``+ - *`` and unary ``-``; the functions below load, store
and rearrange. LLVM splits the four lanes where the processor's registers are narrower.

Memory is named by the address of an array (``array.ctypes.data``) and the index of an eight-byte number
from there. That spares the inner functions the counting of references, which would cost more than their
work on small circuits. Whoever takes an address keeps its array alive; nothing checks bounds.
"""

# The unused arguments below are what Numba types the call by.
# ruff: noqa: ARG001

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.core.extending import intrinsic, models, overload, register_model

WIDTH: Final = 4


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES: Final = _LanesType()
_VECTOR: Final = ir.VectorType(ir.DoubleType(), WIDTH)
_FOUR: Final[Any] = types.UniTuple(LANES, WIDTH)  # type: ignore[no-untyped-call]


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _instruction(generator: Callable[..., Any]) -> Any:
    """Make a function that returns (signature, code generator) callable in compiled code."""
    return intrinsic(generator)


def _pointer(builder: Any, base: Any, index: Any, element: Any) -> Any:
    """Return the address of the `index`-th eight-byte number from `base` on, as a pointer to `element`."""
    address = builder.add(base, builder.shl(index, index.type(3)))
    return builder.inttoptr(address, element.as_pointer())


@_instruction
def load(typing: Any, base: Any, index: Any) -> Any:
    """Return the four numbers from ``base[index]`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], arguments[1], _VECTOR), align=8)

    return LANES(types.intp, types.intp), generate


@_instruction
def store(typing: Any, base: Any, index: Any, value: Any) -> Any:
    """Write four numbers from ``base[index]`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, index, value = arguments
        builder.store(value, _pointer(builder, base, index, _VECTOR), align=8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, LANES), generate


@_instruction
def store_single(typing: Any, base: Any, index: Any, value: Any) -> Any:
    """Write four numbers, rounded to four bytes each, from the `index`-th four-byte number on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, index, value = arguments
        address = builder.add(base, builder.shl(index, index.type(2)))
        narrow = ir.VectorType(ir.FloatType(), WIDTH)
        builder.store(builder.fptrunc(value, narrow), builder.inttoptr(address, narrow.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, LANES), generate


@_instruction
def number(typing: Any, base: Any, index: Any) -> Any:
    """Return the float64 at ``base[index]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], arguments[1], ir.DoubleType()))

    return types.float64(types.intp, types.intp), generate


@_instruction
def put_number(typing: Any, base: Any, index: Any, value: Any) -> Any:
    """Write a float64 to ``base[index]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, index, value = arguments
        builder.store(value, _pointer(builder, base, index, ir.DoubleType()))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.float64), generate


@_instruction
def integer(typing: Any, base: Any, index: Any) -> Any:
    """Return the int64 at ``base[index]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], arguments[1], ir.IntType(64)))

    return types.int64(types.intp, types.intp), generate


def _splat(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), zeros)


@_instruction
def splat(typing: Any, number: Any) -> Any:
    """Return the same number in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0])

    return LANES(types.float64), generate


@_instruction
def pack(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return four numbers as lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = ir.Constant(_VECTOR, ir.Undefined)
        for index, number in enumerate(arguments):
            value = builder.insert_element(value, number, ir.IntType(32)(index))
        return value

    return LANES(types.float64, types.float64, types.float64, types.float64), generate


@_instruction
def floor(typing: Any, value: Any) -> Any:
    """Return each lane rounded down."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, kind, f"llvm.floor.v{WIDTH}f64"
        )
        return builder.call(function, arguments)

    return LANES(LANES), generate


@_instruction
def where_nonzero(typing: Any, condition: Any, yes: Any, no: Any) -> Any:
    """Return, lane by lane, `yes` where `condition` is not 0 and `no` where it is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(_VECTOR, [0.0] * WIDTH)
        chosen = builder.fcmp_unordered("!=", arguments[0], zero)
        return builder.select(chosen, arguments[1], arguments[2])

    return LANES(LANES, LANES, LANES), generate


@_instruction
def lane(typing: Any, value: Any, index: Any) -> Any:
    """Return one lane as a number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(*arguments)

    return types.float64(LANES, types.intp), generate


@_instruction
def transpose(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return the columns of the 4 x 4 matrix whose rows are a, b, c, d."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def shuffle(first: Any, second: Any, *order: int) -> Any:
            return builder.shuffle_vector(
                first, second, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), list(order))
            )

        a, b, c, d = arguments
        ab_even, ab_odd = shuffle(a, b, 0, 4, 2, 6), shuffle(a, b, 1, 5, 3, 7)
        cd_even, cd_odd = shuffle(c, d, 0, 4, 2, 6), shuffle(c, d, 1, 5, 3, 7)
        columns = [
            shuffle(ab_even, cd_even, 0, 1, 4, 5),
            shuffle(ab_odd, cd_odd, 0, 1, 4, 5),
            shuffle(ab_even, cd_even, 2, 3, 6, 7),
            shuffle(ab_odd, cd_odd, 2, 3, 6, 7),
        ]
        return context.make_tuple(builder, _FOUR, columns)

    return _FOUR(LANES, LANES, LANES, LANES), generate


def _binary(operation: Any, instruction: str) -> None:
    """Let `operation` work on two `Lanes` through one LLVM instruction."""

    @_instruction
    def apply(typing: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

        return LANES(LANES, LANES), generate

    @overload(operation)
    def _(left: Any, right: Any) -> Any:
        def both(left: Any, right: Any) -> Any:
            return apply(left, right)

        return both if left is LANES and right is LANES else None


_binary(operator.add, "fadd")
_binary(operator.sub, "fsub")
_binary(operator.mul, "fmul")


@_instruction
def _negate(typing: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fneg(arguments[0])

    return LANES(LANES), generate


@overload(operator.neg)
def _(value: Any) -> Any:
    def each(value: Any) -> Any:
        return _negate(value)

    return each if value is LANES else None
