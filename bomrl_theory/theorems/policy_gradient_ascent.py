"""Ascent of a policy-gradient step with a small step size."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import sympy as sp

from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, improvement, lam, per_task
from bomrl_theory.theory.draws import Draw, random_policy
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.softmax import displacement, grad_square, gradient, product
from bomrl_theory.theory.theorem import Assumption, Source, Theorem


def rounding(m: Measured) -> Numeric:
    """``|u - alpha grad|^2`` [T], u from phi to pi+ and alpha = (1-gamma)/(2 lambda)."""
    missed = displacement(m) - (1 - m.model.gamma) / (2 * m.lam) * gradient(m)
    return product(missed, missed)


def _small_steps(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = random_policy(rng, solved.family.states, solved.family.actions)
    rewards = solved.family.r
    threshold = 4 * float(np.ptp(rewards)) / (1 - float(solved.family.gamma)) ** 2
    lam = Fraction(float(max(threshold * (1 + 10 ** rng.uniform(-3, 1)), 1e-4)))
    yield Case.new(solved, phi, "policy-gradient", lam, origin=origin)


SMALL_STEPS = Draw("small gradient steps", 1, _small_steps)

missed_square = per_task(
    "missed_square",
    "squared distance of pi+ from the exact policy-gradient step, in softmax parameters",
    "1",
    rounding,
    nonnegative=True,
)
beta = 8 * R.symbol / (1 - gamma.symbol) ** 3
ALPHA = (1 - gamma.symbol) / (2 * lam.symbol)

THEOREM = Theorem(
    id="policy_gradient_ascent-v1",
    title="Policy gradient: improvement of one step",
    topic="policy optimisation",
    statement=(
        r"J(\theta + \alpha \nabla J(\theta)) - J(\theta) \ge \frac{\alpha}{2} \| \nabla J(\theta) \|_2^2"
        r" \quad\text{if}\quad \alpha \le \frac{(1-\gamma)^3}{8R}"
    ),
    source=Source(
        "Agarwal, Kakade, Lee and Mahajan 2021, On the theory of policy gradient methods; Mei, Xiao, Szepesvari and"
        " Schuurmans 2020, On the global convergence rates of softmax policy gradient methods",
        "the ascent step in the proofs of their convergence theorems",
        "from memory",
    ),
    status="proved",
    algorithms=("policy-gradient",),
    left=ALPHA / 2 * grad_square.symbol,
    bound=improvement.symbol + sp.sqrt(grad_square.symbol * missed_square.symbol) + beta / 2 * missed_square.symbol,
    constants=(gamma, lam, grad_square, improvement, missed_square, R),
    assumptions=(
        Assumption(
            "small step",
            r"$\alpha = (1-\gamma)/(2\lambda) \le (1-\gamma)^3/(8R)$, that is $\lambda \ge 4R/(1-\gamma)^2$",
            lam.symbol - 4 * R.symbol / (1 - gamma.symbol) ** 2,
            broken=lambda: Case.new(two_arms(), [[1, 1]], "policy-gradient", Fraction(1, 100)),
        ),
    ),
    witness=lambda: Case.new(two_arms(0), [[4, 1]], "policy-gradient", 4),
    tightness=0.505,
    notes=(
        "Runs the algorithm; the terms in the missed distance pay for the step being a floating-point number and "
        "vanish for the exact one. As beta is far above the true curvature (softmax_smoothness), the improvement is "
        "close to alpha |grad|^2, twice the bound. The published rates follow from this step and "
        "softmax_gradient_domination."
    ),
    draws=(SMALL_STEPS,),
)
