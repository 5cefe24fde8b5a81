"""MAML in the notation of its convergence theory: step size, Hessian constant, and cases with small steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp

from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import FLOATS
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, lam
from bomrl_theory.theory.draws import Draw, random_policy
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.smoothness import SMOOTHNESS, THIRD, measure, n
from bomrl_theory.theory.theorem import Assumption

ALPHA = (1 - gamma.symbol) / (2 * lam.symbol)
"""The step size of the algorithm "policy-gradient"."""
HESSIAN = 2 * sp.sqrt(2) * THIRD
"""rho: the Euclidean Lipschitz constant of the Hessian of J."""
TASKS = 3
"""Cases that :data:`SMALL_STEPS` yields on a family."""


def alpha(m: Measured) -> Any:
    """``(1-gamma)/(2 lambda)``."""
    return (1 - m.model.gamma) / (2 * m.lam)


def SMALL_STEP(broken: Callable[[], Case]) -> Assumption:
    """``alpha <= 1/L_V``. No case is known where a larger step makes these claims false."""
    return Assumption(
        "small step",
        r"$\alpha \le 1/L_V$, that is $2\lambda \ge (1-\gamma) L_V$",
        2 * lam.symbol - (1 - gamma.symbol) * SMOOTHNESS,
        broken=broken,
        needed=False,
    )


def _small_steps(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    family = solved.family
    with FLOATS.activated():
        case = Case.new(solved, np.ones((family.states, family.actions)), "policy-gradient")
        smoothness = float(np.max(measure(Measured(case, FLOATS), SMOOTHNESS, (R, gamma, n))))
    least = max((1 - float(family.gamma)) * smoothness / 2, 1e-6)
    for _ in range(TASKS):
        phi = random_policy(rng, family.states, family.actions)
        yield Case.new(
            solved, phi, "policy-gradient", Fraction(f"{1.01 * least * 10 ** rng.uniform(0, 2):.3g}"), origin=origin
        )


SMALL_STEPS = Draw("small policy-gradient steps", TASKS, _small_steps)
"""Policy-gradient steps of at most ``1/L_V``, from a random meta-policy each."""
