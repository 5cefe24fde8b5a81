"""Transition weights in compressed sparse rows (CSR), checked entry by entry before any compiled code walks them.

Row ``(tau S + s) A + a``, or ``s A + a`` of one task, holds the successors of state s under action a: its columns are
``indices[indptr[row] : indptr[row + 1]]``, strictly increasing, its weights the same part of ``data``. A stored zero is
a successor that is never reached.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.mdp import ROW_SUM_TOLERANCE, as_doubles, at, dimensions

AXES = ("tau", "s", "a")
Parts = tuple[Float64[Array, " N"], Int[Array, " N"], Int[Array, " ends"]]
"""``data``, ``indices``, and ``indptr``: one more than there are rows."""


def checked_parts(data: Any, indices: Any, indptr: Any, shape: tuple[int, ...], *, weights: bool) -> Parts:
    """The three arrays, read-only: float64 weights, and indices in 32 bits where these suffice.

    Args:
        shape: of the rows, [S, A] or [T, S, A].
        weights: rows are non-negative weights; otherwise they must sum to 1 within 1e-9.

    Raises:
        InvalidTask: names the array, the place (task, state, action, successor) and the remedy.
    """
    axes, states, rows = AXES[-len(shape) :], shape[-2], math.prod(shape)
    data, indices, indptr = _row("P_data", data), _whole("P_indices", indices), _whole("P_indptr", indptr)

    def row_at(row: int) -> str:
        return at("P", tuple(int(i) for i in np.unravel_index(row, shape)), axes)

    def entry_at(entry: int) -> str:
        row = int(np.searchsorted(indptr, entry, side="right")) - 1
        return f"{row_at(row)[:-1]}, s'={indices[entry]}]"

    if len(indptr) != rows + 1:
        raise InvalidTask(f"P_indptr has {len(indptr)} entries; {rows} rows of {states} states ask for {rows + 1}")
    if indptr[0] != 0 or indptr[-1] != len(indices):
        raise InvalidTask(
            f"P_indptr goes from {indptr[0]} to {indptr[-1]}; it must go from 0 to the length of P_indices, "
            f"{len(indices)}"
        )
    if (row := _first(indptr[1:] <= indptr[:-1])) is not None:
        what = "no successor; give it one" if indptr[row] == indptr[row + 1] else "an end before its start in P_indptr"
        raise InvalidTask(f"{row_at(row)} has {what}")
    if (entry := _first((indices < 0) | (indices >= states))) is not None:
        raise InvalidTask(f"{entry_at(entry)} in P_indices is no state; states are numbered from 0 to {states - 1}")
    falls = indices[1:] <= indices[:-1]
    falls[indptr[1:-1] - 1] = False  # from one row to the next
    if (before := _first(falls)) is not None:
        what = "stored twice" if indices[before] == indices[before + 1] else f"stored after s'={indices[before]}"
        raise InvalidTask(f"{entry_at(before + 1)} is {what}; sort rows and merge their entries (P.sum_duplicates())")

    if len(data) != len(indices):
        raise InvalidTask(f"P_data has {len(data)} entries, P_indices {len(indices)}; give each weight its successor")
    if data.dtype.kind == "f" and (entry := _first(~np.isfinite(data))) is not None:
        raise InvalidTask(f"{entry_at(entry)} = {data[entry]} is not finite; correct it")
    data = as_doubles("P_data", data, ("entry",))
    if (entry := _first(data < 0)) is not None:
        raise InvalidTask(f"{entry_at(entry)} = {data[entry]:.6g} is negative; probabilities are >= 0")
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(data, indptr[:-1])
    wrong = ~((sums > 0) & np.isfinite(sums)) if weights else ~(np.abs(sums - 1) <= ROW_SUM_TOLERANCE)
    if (row := _first(wrong)) is not None:
        demand = "a positive finite sum" if weights else f"1 (within {ROW_SUM_TOLERANCE:g})"
        raise InvalidTask(f"{row_at(row)} sums to {sums[row]:.12g}, not {demand}; divide the row by its sum")

    narrow = np.int32 if max(len(data), states) < 2**31 else np.int64
    return data, _kept(indices, narrow), _kept(indptr, narrow)


def rows_of(P: Any) -> int:
    """Rows that a SciPy sparse array, or a tuple of parts, announces; -1 where it is neither."""
    if isinstance(P, tuple):
        return len(P[-1]) - 1 if P and dimensions(P[-1]) == 1 else -1
    return P.shape[0] if len(getattr(P, "shape", ())) == 2 else -1


def parts_of(P: Any, rows: int, states: int) -> tuple[Any, Any, Any]:
    """The three arrays of a SciPy sparse array [rows, S], or of a tuple of them, unchecked.

    Raises:
        InvalidTask: it is neither, of another shape, or not real.
    """
    if isinstance(P, tuple):
        if len(P) != 3:
            raise InvalidTask(f"P is a tuple of {len(P)}; CSR parts are three: (data, indices, indptr)")
        return P
    from scipy.sparse import csr_array, issparse

    if not issparse(P):
        raise InvalidTask(
            "P is not a SciPy sparse array, nor CSR (data, indices, indptr); dense ones go into MDP or TaskFamily"
        )
    if P.shape != (rows, states):
        raise InvalidTask(f"P has shape {list(P.shape)}; r asks for {[rows, states]}, a row a state and action")
    if P.dtype.kind not in "biuf":
        raise InvalidTask(f"P holds {P.dtype}, not real numbers; convert it")
    P = csr_array(P)
    return P.data, P.indices, P.indptr


def matrix_of(parts: Parts, states: int) -> Any:
    """The SciPy array [rows, S] of checked parts, which it shares."""
    from scipy.sparse import csr_array

    return csr_array(parts, shape=(len(parts[2]) - 1, states))


def _kept(array: Array, kind: type) -> Array:
    """A read-only copy; or the array itself, where it is read-only, owns its memory and is of this kind."""
    if array.flags.writeable or not array.flags.owndata or array.dtype != kind:
        array = array.astype(kind)
        array.setflags(write=False)
    return array


def _row(name: str, values: Any) -> Array:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidTask(f"{name} is not a row of numbers: {error}") from None
    if array.ndim != 1:
        raise InvalidTask(f"{name} has shape {list(array.shape)}; it must be one row of numbers")
    return array


def _whole(name: str, values: Any) -> Int[Array, " n"]:
    array = _row(name, values)
    if array.dtype.kind not in "iu":
        raise InvalidTask(f"{name} holds {array.dtype}, not whole numbers; convert it to integers")
    return array if array.dtype in (np.int32, np.int64) else array.astype(np.int64)


def _first(wrong: Array) -> int | None:
    """The first place where something is wrong."""
    place = int(np.argmax(wrong)) if wrong.size else 0
    return place if wrong.size and wrong[place] else None
