"""Cases built to break floating point: if rounding can decide a verdict anywhere, it is here."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.theorem import ADAPTING

DISCOUNTS = (
    Fraction(0),
    Fraction(1, 2),
    Fraction(9, 10),
    Fraction(0.9),  # the double nearest to 9/10
    Fraction(999, 1000),
    1 - Fraction(1, 10**6),
    1 - Fraction(1, 10**9),
    1 - Fraction(1, 2**40),
)
LAMBDAS = tuple(Fraction(10) ** k for k in (-6, -3, -1, 0, 1, 3, 6))
TINY = (1e-300, 2.0**-1022, 5e-324, 1e-160, 2.0**-53, 1e-17)


def adversarial_family(rng: np.random.Generator, *, states: int, name: str) -> TaskFamily:
    """One to three tasks with probabilities down to subnormals, rewards of 1e12 beside 1e-12, actions
    that tie exactly or differ in the last bit, and discounts up to ``1 - 1e-9``."""
    T, A = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    P = np.eye(states)[rng.integers(states, size=(T, states, A))]
    kind = rng.integers(4)
    if kind >= 1:
        P = P + rng.dirichlet(np.ones(states), (T, states, A)) * (rng.random((T, states, A, states)) < 0.5)
    if kind >= 2:
        P = P + rng.choice(TINY, P.shape) * (rng.random(P.shape) < 0.3)
    r = _rewards(rng, (T, states, A))
    if A > 1 and rng.random() < 0.6:
        state = rng.integers(states)
        P[:, state, 1], r[:, state, 1] = P[:, state, 0], r[:, state, 0]
        if rng.random() < 0.5:
            r[:, state, 1] = np.nextafter(r[:, state, 1], np.inf)
    rho = np.eye(states)[rng.integers(states, size=T)]
    if rng.random() < 0.3:
        rho = rho + rng.choice(TINY, rho.shape)
    gamma = DISCOUNTS[rng.integers(len(DISCOUNTS))]
    return TaskFamily.new(P, r, gamma, rho, name=name, row_weights=True)


def _rewards(rng: np.random.Generator, shape: tuple[int, ...]) -> Float64[Array, "..."]:
    kind = rng.integers(5)
    if kind == 0:
        return rng.normal(size=shape)
    if kind == 1:
        return rng.choice([1e12, -1e12, 1e-12, 0.0, 1.0], shape)
    if kind == 2:
        return rng.integers(-1, 2, shape).astype(float)
    if kind == 3:
        return 1.0 + rng.integers(-3, 4, shape) * 2.0**-52
    return rng.choice([5e-324, 0.0, 1e-310, 1.0], shape)


def adversarial_policy(rng: np.random.Generator, states: int, actions: int) -> Float64[Array, "S A"]:
    """Weights from equal to ``2^-700`` apart, so that KL reaches several hundred nats."""
    if rng.random() < 0.3:
        return np.ones((states, actions))
    return 2.0 ** -rng.choice([0, 1, 30, 52, 300, 700], (states, actions)).astype(float)


def adversarial_cases(seeds: np.random.SeedSequence, families: int, *, largest: int = 16) -> Iterator[Case]:
    """Each family from its own stream, under one meta-policy, with one algorithm and one lambda."""
    for index, stream in enumerate(seeds.spawn(families)):
        rng = np.random.default_rng(stream)
        states = int(rng.integers(1, 7)) if rng.random() < 0.7 else int(rng.integers(7, largest + 1))
        solved = Solved(adversarial_family(rng, states=states, name=f"adversarial family {index}"))
        phi = adversarial_policy(rng, states, solved.family.actions)
        algorithm = ADAPTING[rng.integers(len(ADAPTING))]
        yield Case.new(solved, phi, algorithm, LAMBDAS[rng.integers(len(LAMBDAS))])
        solved.forget()
