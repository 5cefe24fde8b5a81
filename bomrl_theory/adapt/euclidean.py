"""Alg^(3): ``d_3 = |theta - theta_phi|^2`` on softmax parameters, policy-gradient-like.

The penalty does not share the visitation weight, so state s sees ``ell = lambda / nu^phi(s)``; an
unvisited state stays at phi. With ``u = theta - theta_phi`` (centred: the objective is blind to
constant shifts, the penalty is smallest at mean zero) each state maximises
``g(u) = <softmax(theta_phi + u), Q> - ell |u|^2``: concave for ``4 ell >= span Q``, otherwise perhaps with
several local maxima. There every action gets its own start too; the best local maximum found is returned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from bomrl_theory.adapt.step import Algorithm, Status, Step
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Array, Numeric
from bomrl_theory.tasks.policy import from_log_weights

MAXIMUM_ITERATIONS = 100
MAXIMUM_HALVINGS = 40
LEAST_CURVATURE = 1e-8
"""Of g / (2 ell), in any direction that Newton's method takes."""
STARTS = (0.5, 2.0, 8.0, 32.0, 128.0, 512.0)
"""Lengths tried along each action's direction to choose that action's start."""


def solve(phi: Evaluation, lam: float) -> Step:
    """Damped Newton from several starts, all tasks and states at once."""
    tasks, states, actions = phi.pi.shape
    visited = phi.visited.ravel()
    nu = phi.nu.ravel()[visited]
    Q = phi.Q.reshape(-1, actions)[visited]
    Q = Q - Q.max(axis=-1, keepdims=True)
    theta = np.log(phi.pi).reshape(-1, actions)[visited]
    with np.errstate(divide="ignore"):
        # A visitation of 1e-310 makes lambda / nu overflow; at the largest double the step is zero.
        ell = np.minimum(lam / nu, np.finfo(np.float64).max / 1e6)

    best, iterations = _newton(np.zeros_like(theta), theta, Q, ell)
    best_value = _objective(best, theta, Q, ell)
    # Along a unit vector v the curvature of <softmax(theta), Q> is E[(Q - <pi,Q>) (v - <pi,v>)^2], at most
    # span(Q) Var(v) <= span(Q)/2, while the penalty's is 2 ell.
    several = np.flatnonzero(4 * ell < -Q.min(axis=-1))
    for direction in np.eye(actions) - 1 / actions if len(several) else ():
        here = theta[several], Q[several], ell[several]
        trials = np.array(STARTS)[:, None, None] * direction
        values = np.stack([_objective(trial, *here) for trial in trials])
        u, used = _newton(trials[values.argmax(axis=0), 0], *here)
        iterations = max(iterations, used)
        value = _objective(u, *here)
        gain = value > best_value[several]
        best[several[gain]], best_value[several[gain]] = u[gain], value[gain]
    residual = np.abs(_fixed_point(best, theta, Q, ell) - best).max(axis=-1) / (1 + np.abs(best).max(axis=-1))
    worst = float(residual.max(initial=0.0))
    status: Status = "solved" if worst <= 1e-8 else "stopped"
    policy = phi.weights.reshape(-1, actions).copy()
    moved = np.any(best != 0, axis=-1)
    policy[np.flatnonzero(visited)[moved]] = from_log_weights(theta + best)[moved]
    return Step(policy.reshape(tasks, states, actions), status, worst, iterations)


def _softmax(x: Float64[Array, "N A"]) -> Float64[Array, "N A"]:
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _objective(
    u: Float64[Array, "#N A"],
    theta: Float64[Array, "N A"],
    Q: Float64[Array, "N A"],
    ell: Float64[Array, " N"],
) -> Float64[Array, " N"]:
    return (_softmax(theta + u) * Q).sum(axis=-1) - ell * (u**2).sum(axis=-1)


def _fixed_point(
    u: Float64[Array, "N A"], theta: Float64[Array, "N A"], Q: Float64[Array, "N A"], ell: Float64[Array, " N"]
) -> Float64[Array, "N A"]:
    """``pi (Q - <pi,Q>) / (2 ell)``: equal to u exactly at stationary points."""
    pi = _softmax(theta + u)
    return pi * (Q - (pi * Q).sum(axis=-1, keepdims=True)) / (2 * ell[:, None])


def _newton(
    u: Float64[Array, "N A"], theta: Float64[Array, "N A"], Q: Float64[Array, "N A"], ell: Float64[Array, " N"]
) -> tuple[Float64[Array, "N A"], int]:
    """Newton's method on g / (2 ell), made ascending where that is not concave, with backtracking.

    States are independent, so one that is done is left out of the later iterations.
    """
    u, value = u.copy(), _objective(u, theta, Q, ell)
    left = np.arange(len(u))
    iteration = 0
    while len(left) and iteration < MAXIMUM_ITERATIONS:
        iteration += 1
        here = theta[left], Q[left], ell[left]
        at, before = u[left], value[left]
        gradient, curvature = _derivatives(at, *here)
        open_yet = np.any(np.abs(gradient) > 1e-14 * (1 + np.abs(at)), axis=-1)
        step = np.zeros_like(at)
        step[open_yet] = _ascent(curvature[open_yet], gradient[open_yet])
        step, after, accepted = _backtracked(at, before, step, *here)
        u[left[accepted]], value[left[accepted]] = (at + step)[accepted], after[accepted]
        left = left[accepted & open_yet & np.any(np.abs(step) > 1e-14, axis=-1)]
    return u - u.mean(axis=-1, keepdims=True), iteration


def _derivatives(
    u: Float64[Array, "N A"], theta: Float64[Array, "N A"], Q: Float64[Array, "N A"], ell: Float64[Array, " N"]
) -> tuple[Float64[Array, "N A"], Float64[Array, "N A A"]]:
    """Gradient of g / (2 ell), and its Hessian with the sign changed."""
    pi = _softmax(theta + u)
    weighted = pi * (Q - (pi * Q).sum(axis=-1, keepdims=True)) / (2 * ell[:, None])
    outer = weighted[:, :, None] * pi[:, None, :]
    curvature = outer + np.swapaxes(outer, -1, -2)
    diagonal = np.einsum("nii->ni", curvature)  # a view
    diagonal += 1 - weighted
    return weighted - u, curvature


def _ascent(matrix: Float64[Array, "N A A"], gradient: Float64[Array, "N A"]) -> Float64[Array, "N A"]:
    """``M^-1 gradient`` where the symmetric M is positive definite, elsewhere with its eigenvalues' absolute values.

    Definite or not shows in the pivots of an elimination, which takes a tenth of the time of the eigenvalues.
    """
    actions = gradient.shape[-1]
    rows = np.concatenate([matrix, gradient[..., None]], axis=-1)
    definite = np.ones(len(rows), dtype=bool)
    for k in range(actions):
        definite &= rows[:, k, k] > LEAST_CURVATURE
        pivot = np.where(definite, rows[:, k, k], 1.0)
        rows[:, k, k:] /= pivot[:, None]
        rows[:, k + 1 :, k:] -= rows[:, k + 1 :, k, None] * rows[:, k, None, k:]
    step = rows[..., -1]
    for k in range(actions - 2, -1, -1):
        step[:, k] -= (rows[:, k, k + 1 : actions] * step[:, k + 1 :]).sum(axis=-1)
    others = np.flatnonzero(~definite)
    if len(others):
        eigenvalues, vectors = np.linalg.eigh(matrix[others])
        projected = np.einsum("nij,ni->nj", vectors, gradient[others])
        size = np.maximum(np.abs(eigenvalues), LEAST_CURVATURE)
        step[others] = np.einsum("nij,nj->ni", vectors, projected / size)
    return step


def _backtracked(
    u: Float64[Array, "N A"],
    value: Float64[Array, " N"],
    step: Float64[Array, "N A"],
    theta: Float64[Array, "N A"],
    Q: Float64[Array, "N A"],
    ell: Float64[Array, " N"],
) -> tuple[Float64[Array, "N A"], Float64[Array, " N"], Bool[Array, " N"]]:
    """Steps, each halved until it loses nothing; the values that they reach; and where halving came to that."""
    slack = 4 * np.finfo(np.float64).eps * np.abs(value)  # the last steps gain less than rounding
    step, after = step.copy(), np.empty_like(value)
    worse = np.arange(len(u))
    for _ in range(MAXIMUM_HALVINGS):
        after[worse] = _objective(u[worse] + step[worse], theta[worse], Q[worse], ell[worse])
        worse = worse[after[worse] < value[worse] - slack[worse]]
        if not len(worse):
            break
        step[worse] /= 2
    accepted = np.ones(len(u), dtype=bool)
    accepted[worse] = False
    return step, after, accepted


def divergence(phi: Evaluation, pi: Evaluation) -> Shaped[Numeric, "T S"]:
    """``min_c |log pi - log phi - c|^2``: the penalty of the policy, free of the softmax gauge."""
    change = phi.model.numbers.log(pi.pi / phi.pi)
    mean = change.sum(axis=-1, keepdims=True) / phi.model.numbers.constant(change.shape[-1])
    centred = change - mean
    return phi.model.numbers.dot(centred, centred)


def regularisation(phi: Evaluation, lam: Any) -> Shaped[Numeric, "T S"]:
    """``lambda / nu^phi(s)``; zero at unvisited states, where the step stays at phi."""
    nu = np.where(phi.visited, phi.nu, phi.model.numbers.constant(1))
    return np.where(phi.visited, lam / nu, phi.model.zero)


ALGORITHM = Algorithm(
    name="euclidean",
    label="Alg⁽³⁾",
    summary="|theta - theta_phi|^2 on softmax parameters: policy-gradient-like",
    solve=solve,
    divergence=divergence,
    regularisation=regularisation,
)
