"""The closed-form best meta-policy of THEORY section 7: the weighted barycentre of the optima."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from bomrl_theory.exact.evaluate import DeterministicEvaluation, Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.exact.optimum import Optimum
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.policy import mix_uniform


def barycentre(family: TaskFamily, optimum: Optimum, *, uniform_share: float = 0.1) -> Float64[Array, "S A"]:
    """``phi(a|s) = E_tau[nu*(s) pi*(a|s)] / E_tau[nu*(s)]``, mixed with a little uniform.

    It minimises ``E_tau E_{nu*} KL(pi* || phi)``. States that no optimum visits get the uniform
    policy. Without mixing it may lack full support.
    """
    with FLOATS.activated():
        star = DeterministicEvaluation.of_actions(Model(family, FLOATS), optimum.actions)
        return _barycentre(star, uniform_share)


def barycentre_of(solved: Solved, *, uniform_share: float = 0.1) -> Float64[Array, "S A"]:
    """:func:`barycentre` of a solved family, dense or sparse."""
    with FLOATS.activated():
        return _barycentre(solved.star(FLOATS), uniform_share)


def _barycentre(star: Evaluation, uniform_share: float) -> Float64[Array, "S A"]:
    mass = np.einsum("t,ts,tsa->sa", star.model.w, star.nu, star.pi)
    total = mass.sum(axis=-1, keepdims=True)
    policy = np.where(total > 0, mass / np.where(total > 0, total, 1), 1 / star.pi.shape[-1])
    return mix_uniform(policy, uniform_share)
