"""Adjoints of policy evaluation: how Q^phi and nu^phi move with the logits of phi.

Only what the constrained step's derivative needs. The meta layer has derivatives of its own; whichever
stays, callers need just these two functions.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Array


def to_logits(phi: Evaluation, cotangent: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
    """From a cotangent of ``log phi`` to one of the logits: ``x - phi sum x``."""
    return cotangent - phi.pi * cotangent.sum(axis=-1, keepdims=True)


def action_value_to_logits(
    phi: Evaluation, Q: Float64[Array, "T S A"], cotangent: Float64[Array, "T S A"]
) -> Float64[Array, "T S A"]:
    """Pull a cotangent of ``Q = Q^phi`` (of the reward or of any other signal) back to the logits.

    ``dQ = gamma P dV`` and ``(I - gamma P_phi) dV = sum_a dphi Q``.
    """
    model = phi.model
    value = model.gamma * np.einsum("tsaz,tsa->tz", model.P, cotangent)
    y = model.numbers.solve_discounted(phi.P, model.gamma, value, transposed=True)
    return phi.pi * y[..., None] * (Q - phi.average(Q)[..., None])


def visitation_to_logits(phi: Evaluation, cotangent: Float64[Array, "T S"]) -> Float64[Array, "T S A"]:
    """Pull a cotangent of ``nu^phi`` back to the logits: ``dnu = gamma nu dP_phi (I - gamma P_phi)^-1``."""
    model = phi.model
    z = model.numbers.solve_discounted(phi.P, model.gamma, cotangent)
    ahead = model.numbers.dot(model.P, z[:, None, None, :])
    return model.gamma * phi.nu[..., None] * phi.pi * (ahead - phi.average(ahead)[..., None])
