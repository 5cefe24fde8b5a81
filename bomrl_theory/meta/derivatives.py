"""Derivatives of adaptation steps that have a closed form, in any number system: Alg^(2) and MAML.

Theorems on meta-training evaluate these in balls; :mod:`~bomrl_theory.meta.hypergradient` treats every algorithm,
in floats. The derivatives of return, action value and visitation are those of
:mod:`~bomrl_theory.exact.derivatives`, offered here as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Shaped

from bomrl_theory.exact.derivatives import action_value_change as action_value_change
from bomrl_theory.exact.derivatives import action_value_pullback as action_value_pullback
from bomrl_theory.exact.derivatives import adjoint_terms as adjoint_terms
from bomrl_theory.exact.derivatives import hessian_product as hessian_product
from bomrl_theory.exact.derivatives import policy_change as policy_change
from bomrl_theory.exact.derivatives import policy_gradient as policy_gradient
from bomrl_theory.exact.derivatives import value_change as value_change
from bomrl_theory.exact.derivatives import visitation_change as visitation_change
from bomrl_theory.exact.derivatives import visitation_pullback as visitation_pullback
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Numeric


def soft_step(at: Evaluation, lam: Any) -> Evaluation:
    """The evaluation of Alg^(2)'s exact solution ``pi(a) exp(Q(a)/lambda) / Z`` where pi goes."""
    return tilted(at, at.Q / lam)


def tilted(at: Evaluation, change: Shaped[Numeric, "T S A"]) -> Evaluation:
    """The evaluation of the policy whose logits are larger by ``change``: ``pi exp(change) / Z``.

    States that are never visited stay, and so do states whose logits all change alike: no return depends on
    the change, and what is rational stays rational.
    """
    numbers = at.model.numbers
    relative = change - change[..., :1]
    still = np.all(np.asarray(relative >= 0, dtype=bool) & np.asarray(relative <= 0, dtype=bool), axis=-1)
    grown = at.pi * numbers.exp(change - numbers.largest(change, -1, keepdims=True))  # exponents stay small
    policy = np.where((at.visited & ~still)[..., None], grown / grown.sum(axis=-1, keepdims=True), at.pi)
    return Evaluation(at.model, policy, at.weights)


def soft_hypergradient(at: Evaluation, lam: Any) -> tuple[Evaluation, Shaped[Numeric, "T S A"]]:
    """Alg^(2) solved exactly, and for each task the gradient of ``J(Alg^(2)(softmax(theta)))``."""
    plus = soft_step(at, lam)
    g = policy_gradient(plus)
    return plus, g + action_value_pullback(at, g) / lam


def maml_step(at: Evaluation, alpha: Any) -> Evaluation:
    """The evaluation after ``theta + alpha grad J(theta)``."""
    return tilted(at, alpha * policy_gradient(at))


def maml_hypergradient(at: Evaluation, alpha: Any) -> tuple[Evaluation, Shaped[Numeric, "T S A"]]:
    """MAML's step, and for each task the gradient of ``J(theta + alpha grad J(theta))``."""
    plus = maml_step(at, alpha)
    g = policy_gradient(plus)
    return plus, g + alpha * hessian_product(at, g)
