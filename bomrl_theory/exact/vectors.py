"""Several entries of a row at a time: sums and row operations as vector instructions; needs numba.

A sum compiled from a plain loop takes its terms one by one, since another order would round otherwise. These
take :data:`WIDTH` terms side by side and add up the partial sums in the end, which the model of
docs/rounding.md covers like any order; no operation is fused. Arrays are contiguous and of one dimension: a
row is where it starts and its length, so that no view has to be made.

Compiled callers are kept in a cache that notices changes of their own file only: after a change here, touch it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WIDTH = 8
"""Doubles in the widest vector register in use; the compiler splits it where registers are shorter."""
REAL, WHOLE, SHORT = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(REAL, WIDTH)


def _reducing(term: Callable[[Any, Any, Any, ir.Type], Any]) -> Any:
    """The sum of ``term(x[i + k], y[j + k])`` over k < n."""

    @intrinsic
    def reduced(context: Any, x: Any, i: Any, y: Any, j: Any, n: Any) -> Any:
        kinds = (x, types.intp, y, types.intp, types.intp)

        def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x_place, y_place = _row(context, builder, x, *arguments[:2]), _row(context, builder, y, *arguments[2:4])
            sums = {kind: cgutils.alloca_once_value(builder, _constant(kind, 0.0)) for kind in (VECTOR, REAL)}

            def add(k: Any, kind: ir.Type) -> None:
                value = term(builder, _load(builder, x_place, k, kind), _load(builder, y_place, k, kind), kind)
                builder.store(builder.fadd(builder.load(sums[kind]), value), sums[kind])

            _along(builder, arguments[4], add)
            partial, width = builder.load(sums[VECTOR]), WIDTH
            while width > 1:
                width //= 2
                halves = (ir.Constant(ir.VectorType(SHORT, width), list(range(k, k + width))) for k in (0, width))
                partial = builder.fadd(*(builder.shuffle_vector(partial, partial, half) for half in halves))
            first = builder.extract_element(partial, ir.Constant(SHORT, 0))
            return builder.fadd(first, builder.load(sums[REAL]))

        return types.float64(*kinds), make

    return reduced


def _indicator(builder: Any, x: Any, _: Any, kind: ir.Type) -> Any:
    return builder.select(
        builder.fcmp_unordered("!=", x, _constant(kind, 0.0)), _constant(kind, 1.0), _constant(kind, 0.0)
    )


dot = _reducing(lambda builder, x, y, _: builder.fmul(x, y))
"""``dot(x, i, y, j, n)``: the sum of ``x[i + k] y[j + k]`` over k < n."""
total = _reducing(lambda _, x, y, kind: x)
"""``total(x, i, x, i, n)``: the sum of ``x[i + k]``."""
nonzeros = _reducing(_indicator)
"""``nonzeros(x, i, x, i, n)``: how many ``x[i + k]`` are not zero, as a double."""


@intrinsic
def subtract(context: Any, x: Any, i: Any, factor: Any, y: Any, j: Any, n: Any) -> Any:
    """``x[i + k] -= factor y[j + k]`` for k < n; the rows are the same or do not overlap."""
    kinds = (x, types.intp, types.float64, y, types.intp, types.intp)

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_place, y_place = _row(context, builder, x, *arguments[:2]), _row(context, builder, y, *arguments[3:5])
        one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), arguments[2], ir.Constant(SHORT, 0))
        everywhere = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(SHORT, WIDTH), [0] * WIDTH))

        def update(k: Any, kind: ir.Type) -> None:
            factor = everywhere if kind is VECTOR else arguments[2]
            product = builder.fmul(factor, _load(builder, y_place, k, kind))
            value = builder.fsub(_load(builder, x_place, k, kind), product)
            builder.store(value, _place(builder, x_place, k, kind), align=8)

        _along(builder, arguments[5], update)
        return context.get_dummy_value()

    return types.none(*kinds), make


def _row(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [start], inbounds=True)


def _place(builder: Any, row: Any, k: Any, kind: ir.Type) -> Any:
    return builder.bitcast(builder.gep(row, [k], inbounds=True), kind.as_pointer())


def _load(builder: Any, row: Any, k: Any, kind: ir.Type) -> Any:
    return builder.load(_place(builder, row, k, kind), align=8)


def _constant(kind: ir.Type, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * WIDTH if kind is VECTOR else value)


def _along(builder: Any, n: Any, body: Callable[[Any, ir.Type], None]) -> None:
    """``body(k, VECTOR)`` for whole vectors, then ``body(k, REAL)`` for what is left of n entries."""
    whole = builder.and_(n, ir.Constant(WHOLE, -WIDTH))
    for start, stop, kind in ((ir.Constant(WHOLE, 0), whole, VECTOR), (whole, n, REAL)):
        step = ir.Constant(WHOLE, WIDTH if kind is VECTOR else 1)
        with cgutils.for_range_slice(builder, start, stop, step) as (k, _):
            body(k, kind)
