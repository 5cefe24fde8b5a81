"""How fast one thread of the machine can be at all: arithmetic of a matrix product, bytes of a long dot product.

The limit of a computation is the larger of two times: its floating-point operations at the first speed and the bytes of
P that it reads at the second. Of large tasks the backups, sweeps and products of BiCGSTAB that were made are counted,
of small ones the LU factorisations; what else is read or computed is not, so the true limit lies above it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from measure import Record, Results, Work
from side_by_side import Problem

ENTRIES = 30_000_000
"""Of each vector: much more than caches hold."""


def matrix_product(size: int) -> Work:
    square = np.random.default_rng(0).random((size, size))
    return Work(lambda: square @ square, lambda _: {}, needs=lambda _: (2 * size**3, 0))


def dot_product(_: int) -> Work:
    x, y = np.random.default_rng(0).random((2, ENTRIES))
    return Work(lambda: x @ y, lambda _: {}, needs=lambda _: (0, x.nbytes + y.nbytes))


LIMITS = Problem(
    "limits",
    f"the machine's limits: a product of matrices of {{}} rows, a dot product of {ENTRIES:,} numbers",
    "call",
    (1500, 1500),
    7,
    {"matrix product": matrix_product, "dot product": dot_product},
    reference="",
)


class Limits(NamedTuple):
    """Of one thread.

    Attributes:
        flops: floating-point operations a second.
        bytes: that are read a second.
    """

    flops: float
    bytes: float

    @classmethod
    def found(cls, results: Results) -> Limits | None:
        """From the fastest calls, where both were measured."""
        product, dot = (results.get(LIMITS.name, {}).get(name, {}) for name in LIMITS.contestants)
        if "cpu" not in product or "cpu" not in dot:
            return None
        return cls(product["flops"] / min(product["cpu"]), dot["bytes"] / min(dot["cpu"]))

    def of(self, record: Record) -> tuple[float, str]:
        """Seconds that a record's work takes at least, and what bounds it."""
        return max((record["flops"] / self.flops, "arithmetic"), (record["bytes"] / self.bytes, "memory"))
