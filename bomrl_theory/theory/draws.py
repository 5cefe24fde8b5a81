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
from bomrl_theory.exact.sparse_solved import solved_family
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.measured import Measured


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


def _large_lambda(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = random_policy(rng, solved.family.states, solved.family.actions)
    gamma = float(solved.family.gamma)
    with FLOATS.activated():
        m = Measured(Case.new(solved, phi, "none"), FLOATS)
        nu_min = np.where(m.phi.visited, m.phi.nu, 1.0).min()
        span = m.span(m.phi.Q).max()
        largest = np.abs(m.phi.advantage).max()
    surrogate = span / ((1 - gamma) * np.sqrt(nu_min))
    for threshold in (gamma * surrogate, surrogate, largest * (2 - gamma) / ((1 - gamma) * (1 + gamma))):
        # From one part in a thousand to twelve times above the threshold, to three digits, rounded up.
        wanted = max(threshold * (1 + 10 ** rng.uniform(-3, 1)), 1e-4)
        unit = Fraction(10) ** (int(np.floor(np.log10(wanted))) - 3)
        yield Case.new(solved, phi, "kl-posterior", -(-Fraction(float(wanted)) // unit) * unit, origin=origin)


def _uncontrolled(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    family = solved.family
    phi = random_policy(rng, family.states, family.actions)
    tied = solved_family(family.uncontrolled())
    for _ in range(2):
        yield Case.new(tied, phi, "kl-posterior", random_lambda(rng), origin=f"{origin}, actions without influence")


def _sampled(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = random_policy(rng, solved.family.states, solved.family.actions)
    yield Case.new(solved, phi, "kl-posterior-sampled", random_lambda(rng), origin=origin)


ADAPTATIONS = Draw("adaptations", 1 + len(ADAPTING), _adaptations)
"""One random meta-policy, unadapted and with every algorithm, each at its own lambda."""
SEVERAL_STEPS = Draw("several steps", len(ADAPTING), _several_steps)
"""One random meta-policy, two to five steps of every algorithm, each at its own lambda."""
LARGE_LAMBDA = Draw("large lambda", 3, _large_lambda)
"""One random meta-policy, Alg^(2) with lambda just above each of the thresholds of THEORY section 4."""
UNCONTROLLED = Draw("uncontrolled", 2, _uncontrolled)
"""The first action's transitions for all, one random meta-policy, Alg^(2) at two random lambdas."""
SAMPLED = Draw("sampled values", 1, _sampled)
"""One random meta-policy, Alg^(2) on sampled action values at a random lambda."""
