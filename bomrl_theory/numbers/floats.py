"""Plain float64: fast, carrying no guarantee."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from bomrl_theory.numbers.system import Array, SingularSystem


class Floats:
    """float64: for screening and pictures; a comparison made in it is never called certified."""

    name = "float64"
    certified = False

    @contextmanager
    def activated(self) -> Iterator[None]:
        with np.errstate(all="ignore"):  # what overflows becomes infinite or NaN, and decides nothing
            yield

    def constant(self, value: Fraction | int) -> float:
        return float(value)

    def load(self, values: Float64[Array, "..."]) -> Array:
        return np.asarray(values, dtype=np.float64)

    def normalised(self, weights: Float64[Array, "... n"]) -> Float64[Array, "... n"]:
        return weights / weights.sum(axis=-1, keepdims=True)

    def solve_discounted(
        self, P: Float64[Array, "T S S"], gamma: float, rhs: Float64[Array, "T S"], *, transposed: bool = False
    ) -> Float64[Array, "T S"]:
        system = np.eye(P.shape[-1]) - gamma * (np.swapaxes(P, -1, -2) if transposed else P)
        try:
            return np.linalg.solve(system, rhs[..., None])[..., 0]
        except np.linalg.LinAlgError as error:
            raise SingularSystem("singular in float64; gamma may be too close to 1") from error

    def full(self, shape: tuple[int, ...], value: float) -> Array:
        return np.full(shape, value)

    def dot(self, x: Array, y: Array) -> Array:
        return np.einsum("...i,...i->...", x, y)

    def multiply(self, x: Array, y: Array) -> Array:
        return x * y

    def log(self, x: Array) -> Array:
        return np.log(x)

    def exp(self, x: Array) -> Array:
        return np.exp(x)

    def sqrt(self, x: Array) -> Array:
        return np.sqrt(x)

    def maximum(self, x: Array, y: Array) -> Array:
        return np.maximum(x, y)

    def largest(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        return np.max(x, axis=axis, keepdims=keepdims)


FLOATS = Floats()
