"""How cases are drawn on a family: the common draws of every run, and further ones that theorems ask for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.adapt import ADAPTING
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Array
from bomrl_theory.theory.case import Case


@dataclass(frozen=True)
class Draw:
    """A way to draw cases on a family.

    Attributes:
        name: unique; it also seeds the draw, so that adding another leaves this one's cases as they are.
        cases: how many cases a call yields.
        make: from the solved family, a generator and a name for the cases' origin to the cases.
    """

    name: str
    cases: int
    make: Callable[[Solved, np.random.Generator, str], Iterator[Case]]

    def generator(self, stream: np.random.SeedSequence) -> np.random.Generator:
        """The draw's own generator beside everything else that is drawn from a stream."""
        own = (*stream.spawn_key, zlib.crc32(self.name.encode()))
        return np.random.default_rng(np.random.SeedSequence(stream.entropy, spawn_key=own))


def random_policy(rng: np.random.Generator, states: int, actions: int) -> Float64[Array, "S A"]:
    """From uniform to nearly deterministic (down to probabilities of 1e-12)."""
    concentration = 10 ** rng.uniform(-1.5, 1)
    return rng.dirichlet(np.full(actions, concentration), states) + 1e-12


def random_lambda(rng: np.random.Generator) -> Fraction:
    """Log-uniform from 1e-4 to 1e3, with a few significant digits so that it reads well."""
    return Fraction(f"{10 ** rng.uniform(-4, 3):.3g}")


def _adaptations(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = random_policy(rng, solved.family.states, solved.family.actions)
    for algorithm in ("none", *ADAPTING):
        yield Case.new(solved, phi, algorithm, random_lambda(rng), origin=origin)


def _several_steps(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = random_policy(rng, solved.family.states, solved.family.actions)
    for algorithm in ADAPTING:
        steps = int(rng.integers(2, 6))
        yield Case.new(solved, phi, algorithm, random_lambda(rng), steps=steps, origin=origin)


ADAPTATIONS = Draw("adaptations", 1 + len(ADAPTING), _adaptations)
"""One random meta-policy, unadapted and with every algorithm, each at its own lambda."""
SEVERAL_STEPS = Draw("several steps", len(ADAPTING), _several_steps)
"""One random meta-policy, two to five steps of every algorithm, each at its own lambda."""
