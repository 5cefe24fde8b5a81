"""The gradient of the meta-objective in the meta-policy's logits (THEORY section 8).

The return's gradient at the adapted policy is pulled back through the adaptation. How the adapted policy moves
with the meta-policy follows from the first-order conditions of its inner problem
(:mod:`~bomrl_theory.meta.lower_level`); then the map runs on through ``Q^phi`` (and ``nu^phi`` for Alg^(3), MAML and
the constrained forms). Methods differ in how they get the derivative; all but the first-order variant agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.step import Algorithm
from bomrl_theory.errors import UnknownName
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.hypergradient.autodiff import Autodiff
from bomrl_theory.meta.hypergradient.closed_form import ClosedForm
from bomrl_theory.meta.hypergradient.conjugate_gradient import ConjugateGradient
from bomrl_theory.meta.hypergradient.first_order import FirstOrder
from bomrl_theory.meta.hypergradient.implicit import Implicit
from bomrl_theory.meta.hypergradient.method import OUTCOMES, Method, Outcome
from bomrl_theory.meta.hypergradient.unrolled import Unrolled
from bomrl_theory.meta.lower_level import lower_level
from bomrl_theory.meta.objective import Adapted
from bomrl_theory.numbers import FLOATS, Array

METHODS: dict[str, Method] = {
    method.name: method
    for method in (ClosedForm(), Implicit(), ConjugateGradient(), Autodiff(), Unrolled(), FirstOrder())
}
"""Every method with its usual settings, by name."""

STATIONARITY = 1e-8
"""Largest violation of the inner first-order condition, on its own scale, at which the adapted policy counts as
stationary."""


@dataclass(frozen=True, eq=False)
class Hypergradient:
    """The gradient of F at some logits.

    Attributes:
        gradient: [S, A]; sums to zero over the actions of a state.
        value: F.
        status: the worst that inner solver, first-order condition and method report; see
            :data:`~bomrl_theory.meta.hypergradient.method.Outcome` for what each means and its remedy.
        residual: largest violation of the inner first-order condition, relative to its own scale.
        linear_residual: relative residual of the adjoint linear system; None for methods that solve none.
        iterations: of the linear solver, or terms used; 0 for methods without.
        method: which one.
    """

    gradient: Float64[Array, "S A"]
    value: float
    status: Outcome
    residual: float
    linear_residual: float | None
    iterations: int
    method: Method


def hypergradient(
    solved: Solved,
    theta: Float64[Array, "S A"],
    algorithm: str | Algorithm = "kl-posterior",
    lam: float = 1.0,
    *,
    method: str | Method = "exact",
) -> Hypergradient:
    """The gradient of ``F(theta) = E_tau J_tau(Alg(softmax(theta)))``.

    Args:
        theta: logits of the meta-policy [S, A].
        algorithm: a name, or an algorithm such as :func:`~bomrl_theory.adapt.constrained.constrained` makes for a
            cost budget or a trust region.
        lam: regularisation, in the unit of return; a trust region does not use it.
        method: a name in :data:`METHODS`, or a method with settings of its own, such as ``Unrolled(terms=20)``.

    Raises:
        UnknownName: no such algorithm or method.
        InvalidTask: wrong logits or lambda, an algorithm whose derivative is not known here, or a budget that cannot
            be met (the message names the task and the least achievable cost).
        MissingExtra: the method's package is not installed.
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise UnknownName("hypergradient method", method, METHODS)
        method = METHODS[method]
    with FLOATS.activated():
        adapted = Adapted.of(solved, theta, algorithm, lam)
        level = lower_level(adapted)
        answer = method.gradient(level)
        stationarity = level.stationarity
        findings: list[Outcome] = [answer.status]
        if adapted.step.status != "solved":
            findings.append("stopped")
        if not np.all(np.isfinite(answer.gradient)):  # an iteration that diverged, or numbers beyond doubles
            findings.append("stopped")
        if not level.smooth:
            findings.append("kink")
        if not stationarity <= STATIONARITY:
            findings.append("not stationary")
    # Gradients sum to zero but for rounding; what is left over would only move along the gauge.
    gradient = answer.gradient - answer.gradient.mean(axis=-1, keepdims=True)
    return Hypergradient(
        gradient,
        adapted.value,
        max(findings, key=OUTCOMES.index),
        stationarity,
        answer.linear_residual,
        answer.iterations,
        method,
    )
