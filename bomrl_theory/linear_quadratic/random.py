"""Seeded random linear-quadratic families whose tasks differ in dynamics, input, costs or goals."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.linear_quadratic.closed_form import optimum
from bomrl_theory.linear_quadratic.policy import GaussianPolicy
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily
from bomrl_theory.numbers import Array

Varying = Literal["dynamics", "input", "costs", "goals"]
DISCOUNTS = (Fraction(0), Fraction(1, 2), Fraction(4, 5), Fraction(9, 10), Fraction(19, 20), Fraction(99, 100))
HALVINGS = 60
LARGEST_TASKS, LARGEST_STATES, LARGEST_ACTIONS = 5, 4, 3
LARGEST_RADIUS = 0.999
"""Of ``sqrt(gamma) rho(A - BK)``: closer to 1 the return is finite but tells nothing."""


def random_family(
    rng: np.random.Generator,
    *,
    varying: Varying | None = None,
    tasks: int | None = None,
    states: int | None = None,
    actions: int | None = None,
    gamma: Fraction | None = None,
    name: str = "random linear-quadratic",
) -> LinearQuadraticFamily:
    """A family around one plant: spectral radius of A up to 1.2, costs and noise over two orders of magnitude.

    What is not given is drawn: 1 to 5 tasks, 1 to 4 states, 1 to 3 actions, gamma from 0 to 0.99. Goals add one
    constant state.

    Raises:
        InvalidTask: ``varying`` is none of dynamics, input, costs, goals.
    """
    kinds = get_args(Varying)
    if varying is not None and varying not in kinds:
        raise InvalidTask(f"varying = {varying!r}; choose one of {', '.join(kinds)}")
    kind = varying or kinds[rng.integers(len(kinds))]
    T = tasks or int(rng.integers(1, LARGEST_TASKS + 1))
    n = states or int(rng.integers(1, LARGEST_STATES + 1))
    m = actions or int(rng.integers(1, LARGEST_ACTIONS + 1))
    discount = DISCOUNTS[rng.integers(len(DISCOUNTS))] if gamma is None else gamma
    plant = rng.normal(size=(n, n))
    plant *= rng.uniform(0.3, 1.2) / max(np.abs(np.linalg.eigvals(plant)).max(), 1e-3)
    inputs = rng.normal(size=(n, m))
    spread = 10 ** rng.uniform(-2, -0.5)
    differences = {"dynamics": rng.normal(size=(T, n, n)), "input": rng.normal(size=(T, n, m))}
    goals = rng.normal(size=(T, n))
    R_x, R_u = (_covariances(rng, T, size, shared=kind != "costs") for size in (n, m))
    W, S0 = (_covariances(rng, T, n, shared=True) * (rng.random() < 0.8) for _ in range(2))
    mu0 = rng.normal(size=(T, n)) * 10 ** rng.uniform(-1, 0.5)
    weights = rng.integers(1, 5, T).astype(float)
    while True:
        A = plant + spread * (kind == "dynamics") * differences["dynamics"]
        B = inputs + spread * (kind == "input") * differences["input"]
        if kind == "goals":
            family = LinearQuadraticFamily.with_goals(A, B, W, R_x, R_u, discount, mu0, S0, goals, weights, name=name)
        else:
            family = LinearQuadraticFamily.new(A, B, W, R_x, R_u, discount, mu0, S0, weights, name=name)
        if np.all(family.radius(average_gain(family)) < LARGEST_RADIUS):
            return family
        # Tasks that no one gain stabilises: closer together; equal costs or goals are the limit of closer plants.
        if kind == "costs":
            R_x, R_u = ((x + x[:1]) / 2 for x in (R_x, R_u))
        spread /= 2


def average_gain(family: LinearQuadraticFamily) -> Float64[Array, "m n"]:
    """The tasks' average optimal gain."""
    return np.einsum("t,tij->ij", family.model().weights, optimum(family.model()).K)


def _covariances(rng: np.random.Generator, tasks: int, size: int, *, shared: bool) -> Float64[Array, "T k k"]:
    """Symmetric and positive definite, of any scale from 0.1 to 10."""
    roots = rng.normal(size=(1 if shared else tasks, size, size))
    matrices = 10 ** rng.uniform(-1, 1) * (roots @ np.swapaxes(roots, -1, -2) / size + 0.1 * np.eye(size))
    symmetric = (matrices + np.swapaxes(matrices, -1, -2)) / 2
    return np.ascontiguousarray(np.broadcast_to(symmetric, (tasks, size, size)))


def random_meta_policy(family: LinearQuadraticFamily, rng: np.random.Generator) -> GaussianPolicy:
    """One ``u ~ N(-Kx, Sigma)`` for all tasks that stabilises each, from good to bad.

    K is the tasks' average optimal gain with noise, which is halved until ``sqrt(gamma) rho(A - BK) < 0.999``.

    Raises:
        InvalidTask: not even the average optimal gain stabilises every task.
    """
    mean = average_gain(family)
    noise = rng.normal(size=mean.shape) * 10 ** rng.uniform(-1.5, 0.5)
    root = rng.normal(size=(family.actions, family.actions))
    Sigma = 10 ** rng.uniform(-3, 1) * (root @ root.T / family.actions + 0.1 * np.eye(family.actions))
    for _ in range(HALVINGS):
        if np.all(family.radius(mean + noise) < LARGEST_RADIUS):
            return GaussianPolicy.new(mean + noise, (Sigma + Sigma.T) / 2)
        noise = noise / 2
    raise InvalidTask(
        f"no gain near the average optimal one stabilises all {family.tasks} tasks of '{family.name}'; they differ too "
        "much for one meta-policy"
    )
