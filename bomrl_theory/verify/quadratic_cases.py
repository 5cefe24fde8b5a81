"""Random cases of linear-quadratic control: the draw behind ``bomrl verify`` for theorems of that setting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bomrl_theory.linear_quadratic import closed_form as cf
from bomrl_theory.linear_quadratic.policy import GaussianPolicy
from bomrl_theory.linear_quadratic.random import random_family, random_meta_policy
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily
from bomrl_theory.theory.draws import random_lambda
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase

CASES_A_FAMILY = 3


def quadratic_cases(seeds: np.random.SeedSequence, families: int) -> Iterator[LinearQuadraticCase]:
    """Random families, each from its own stream, under one meta-policy and lambda."""
    for index, stream in enumerate(seeds.spawn(families)):
        rng = np.random.default_rng(stream)
        family = random_family(rng)
        yield from cases_on(family, random_meta_policy(family, rng), rng, origin=f"{family.name} {index}")


def cases_on(
    family: LinearQuadraticFamily, phi: GaussianPolicy, rng: np.random.Generator, *, origin: str
) -> Iterator[LinearQuadraticCase]:
    """The exact step, two to five of them, and a step on a noisy estimate of Q^phi, at one random lambda."""
    lam = random_lambda(rng)
    yield LinearQuadraticCase.new(family, phi, lam, origin=origin)
    yield LinearQuadraticCase.new(family, phi, lam, steps=int(rng.integers(2, 6)), origin=origin)
    adapted = adapted_on_estimate(family, phi, float(lam), rng)
    yield LinearQuadraticCase.new(family, phi, lam, adapted=adapted, origin=origin)


def adapted_on_estimate(
    family: LinearQuadraticFamily, phi: GaussianPolicy, lam: float, rng: np.random.Generator
) -> GaussianPolicy:
    """Alg^(2) on H_ux and H_uu with noise of 1 % to 100 % of their size, halved until every task is stabilised."""
    model = family.model()
    value = cf.evaluate(model, phi.K, phi.Sigma)
    size = 10 ** rng.uniform(-2, 0)
    H_ux, H_uu = (
        size * np.abs(H).max(axis=(-2, -1), keepdims=True) * rng.normal(size=H.shape) for H in (value.H_ux, value.H_uu)
    )
    while True:
        # Estimated curvature is that of a quadratic fit of costs: symmetric and not negative.
        root = np.linalg.cholesky(value.H_uu) + H_uu / np.sqrt(np.abs(value.H_uu).max(axis=(-2, -1), keepdims=True))
        K, Sigma = cf.adapted(phi.K, phi.Sigma, value.H_ux + H_ux, root @ root.mT, lam)
        if np.all(family.radius(K) < 1):
            return GaussianPolicy.new(K, Sigma)
        H_ux, H_uu = H_ux / 2, H_uu / 2
