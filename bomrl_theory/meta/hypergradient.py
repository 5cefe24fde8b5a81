"""The gradient of the meta-objective in the meta-policy's logits (THEORY section 8).

The return's gradient at the adapted policy is pulled back through the adaptation. How the adapted policy moves
with the meta-policy follows from the first-order conditions of its inner problem, state by state:

- Alg^(1) and Alg^(2) maximise over the simplex with a multiplier mu for ``sum pi = 1``. Their conditions,
  ``Q + lambda phi/pi = mu`` and ``Q - lambda log(pi/phi) = mu``, have a diagonal derivative in pi, so that
  eliminating mu solves the linear system in closed form.
- Alg^(3) maximises ``nu <softmax(y), Q> - lambda |y - theta|^2`` over logits y; the penalty fixes their gauge.
- MAML's step is ``theta + alpha grad J(theta)``; its derivative holds the Hessian of J.

Then the map runs on through ``Q^phi`` (and ``nu^phi`` for Alg^(3)), which :mod:`derivatives` pulls back. Rounding
apart, the only error is that of the inner solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped

from bomrl_theory.adapt.step import Algorithm, Status
from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.derivatives import (
    action_value_pullback,
    hessian_product,
    policy_gradient,
    visitation_pullback,
)
from bomrl_theory.meta.objective import Adapted
from bomrl_theory.numbers import FLOATS, Array, Numeric

METHODS = ("exact", "implicit", "first-order")
"""exact: eliminated in closed form where there is one. implicit: the first-order conditions as one dense linear
system a state. first-order: as if ``Q^phi`` and ``nu^phi`` (for MAML: ``grad J``) did not depend on the logits."""


@dataclass(frozen=True, eq=False)
class Hypergradient:
    """The gradient of F at some logits.

    Attributes:
        gradient: [S, A]; sums to zero over the actions of a state.
        value: F.
        status: of the inner solver; the gradient is that of the policy it returned.
        residual: largest violation of the inner first-order condition.
    """

    gradient: Float64[Array, "S A"]
    value: float
    status: Status
    residual: float


def hypergradient(
    solved: Solved,
    theta: Float64[Array, "S A"],
    algorithm: str | Algorithm = "kl-posterior",
    lam: float = 1.0,
    *,
    method: str = "exact",
) -> Hypergradient:
    """The gradient of ``F(theta) = E_tau J_tau(Alg(softmax(theta)))``.

    Args:
        theta: logits of the meta-policy [S, A].
        method: see :data:`METHODS`.

    Raises:
        UnknownName: no such algorithm or method.
        InvalidTask: wrong logits or lambda, or an algorithm whose derivative is not known here.
    """
    if method not in METHODS:
        raise UnknownName("hypergradient method", method, METHODS)
    with FLOATS.activated():
        adapted = Adapted.of(solved, theta, algorithm, lam)
        each = pullback(adapted, policy_gradient(adapted.plus), method)
        gradient = np.einsum("t,tsa->sa", adapted.phi.model.w, each)
    return Hypergradient(gradient, adapted.value, adapted.step.status, adapted.step.residual)


def pullback(adapted: Adapted, g: Float64[Array, "T S A"], method: str = "exact") -> Float64[Array, "T S A"]:
    """``(d theta+ / d theta)^T g`` for each task, for a g that sums to zero over the actions of a state.

    Raises:
        InvalidTask: an algorithm whose derivative is not known here.
    """
    match adapted.algorithm.name:
        case "none":
            return g
        case "kl-prior" | "kl-posterior":
            return _simplex_pullback(adapted, g, method)
        case "euclidean":
            return _euclidean_pullback(adapted, g, method)
        case "policy-gradient":
            alpha = (1 - adapted.phi.model.gamma) / (2 * adapted.lam)
            return g if method == "first-order" else g + alpha * hessian_product(adapted.phi, g)
    raise InvalidTask(f"no derivative of '{adapted.algorithm.name}' is known here")


def _simplex_pullback(adapted: Adapted, g: Shaped[Numeric, "T S A"], method: str) -> Shaped[Numeric, "T S A"]:
    """Alg^(1) and Alg^(2): with ``d(condition)/d pi = -diag(1/k)`` and ``d(condition)/d log phi = prior``."""
    phi, plus, lam = adapted.phi, adapted.plus, adapted.lam
    if adapted.algorithm.name == "kl-prior":
        k, prior = plus.pi**2 / (lam * phi.pi), lam * phi.pi / plus.pi
    else:
        k, prior = plus.pi / lam, np.full_like(plus.pi, lam)
    in_policy = g / plus.pi  # dJ/dpi up to a constant at each state, which the simplex does not see
    through_Q = _dense_simplex(k, in_policy) if method == "implicit" else _eliminated(k, in_policy)
    logits = _from_log_policy(phi.pi, through_Q * prior)
    return logits if method == "first-order" else logits + action_value_pullback(phi, through_Q)


def _eliminated(k: Shaped[Numeric, "T S A"], x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """The solution z of ``z/k + m = x, sum z = 0``: the multiplier m is the average of x with weights k."""
    m = (k * x).sum(axis=-1, keepdims=True) / k.sum(axis=-1, keepdims=True)
    return k * (x - m)


def _dense_simplex(k: Float64[Array, "T S A"], x: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
    """The same by a linear system with the multiplier as one more unknown, scaled by ``sqrt k``."""
    tasks, states, actions = k.shape
    root = np.sqrt(k)
    root /= np.linalg.norm(root, axis=-1, keepdims=True)
    system = np.zeros((tasks, states, actions + 1, actions + 1))
    system[..., :actions, :actions] = np.eye(actions)
    system[..., :actions, actions] = system[..., actions, :actions] = root
    right = np.zeros((tasks, states, actions + 1))
    right[..., :actions] = np.sqrt(k) * x
    return np.sqrt(k) * np.linalg.solve(system, right[..., None])[..., :actions, 0]


def _euclidean_pullback(adapted: Adapted, g: Float64[Array, "T S A"], method: str) -> Float64[Array, "T S A"]:
    """Alg^(3). The condition ``nu pi (Q - <pi, Q>) = 2 lambda (y - theta)`` is differentiated at ``y = theta+``."""
    phi, plus, lam = adapted.phi, adapted.plus, adapted.lam
    nu = phi.nu[..., None]
    gain = plus.pi * (phi.Q - plus.average(phi.Q)[..., None])
    curvature = gain[..., None] * np.eye(gain.shape[-1])
    curvature = curvature - gain[..., :, None] * plus.pi[..., None, :] - plus.pi[..., :, None] * gain[..., None, :]
    system = 2 * lam * np.eye(gain.shape[-1]) - nu[..., None] * curvature
    z = np.linalg.solve(system, g[..., None])[..., 0]
    logits = 2 * lam * z
    if method == "first-order":
        return logits
    through_Q = nu * plus.pi * (z - plus.average(z)[..., None])
    through_nu = (gain * z).sum(axis=-1)
    return logits + action_value_pullback(phi, through_Q) + visitation_pullback(phi, through_nu)


def _from_log_policy(pi: Shaped[Numeric, "T S A"], x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """``(d log pi / d theta)^T x``."""
    return x - pi * x.sum(axis=-1, keepdims=True)
