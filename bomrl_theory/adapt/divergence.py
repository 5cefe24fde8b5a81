"""The two divergences between policies, with their derivatives.

Everything is a function of ``phi`` and of the logarithmic ratio ``x = log(pi/phi)``, which stays finite
where ``pi`` itself underflows, and is minus infinity only for actions that a limit ``lambda -> 0`` drops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt import kl_posterior, kl_prior
from bomrl_theory.adapt.step import Algorithm
from bomrl_theory.errors import UnknownName
from bomrl_theory.numbers import Array

Rows = Float64[Array, "T S A"]
Lambda = Float64[Array, "T 1 1"]


@dataclass(frozen=True)
class Divergence:
    """``d_i(phi, pi)`` for normalised ``phi`` and ``pi = phi e^x``.

    Attributes:
        algorithm: the unconstrained step with this divergence.
        log_ratio: ``log(pi/phi)`` of the maximiser of ``<pi, R> - lambda d(phi, pi)``, never clipped; from
            ``phi, R, lambda``.
        value: ``d`` state by state, from ``phi, x``. Each action adds a term that is not negative
            (``pi - phi`` sums to zero), so that nothing cancels between actions.
        weighted_slope: ``pi dd/dpi`` up to a multiple of ``pi``, from ``phi, x``.
        by_log_phi: ``dd/dlog phi`` at fixed ``pi``, up to a multiple of ``phi``, from ``phi, x``.
        looseness: ``1 / (pi d2d/dpi2)``, from ``x``.
        metric: ``pi^2 d2d/dpi2``, from ``phi, x``.
        maximum: an upper bound of ``<pi, R> - lambda d(phi, pi)`` over the simplex, attained if ``x`` is
            the maximiser, from ``phi, R, lambda, x``.
    """

    algorithm: Algorithm
    log_ratio: Callable[[Rows, Rows, Lambda], Rows]
    value: Callable[[Rows, Rows], Float64[Array, "T S"]]
    weighted_slope: Callable[[Rows, Rows], Rows]
    by_log_phi: Callable[[Rows, Rows], Rows]
    looseness: Callable[[Rows], Rows]
    metric: Callable[[Rows, Rows], Rows]
    maximum: Callable[[Rows, Rows, Lambda, Rows], Float64[Array, "T S"]]


def _prior_log_ratio(phi: Rows, R: Rows, lam: Lambda) -> Rows:
    return np.log(kl_prior.maximiser(phi, R, lam)[0] / phi)


def _prior_maximum(phi: Rows, R: Rows, lam: Lambda, x: Rows) -> Float64[Array, "T S"]:
    """``m + lambda sum phi log(lambda/(m - R)) - lambda`` bounds the maximum for every ``m > max R``."""
    top = R.max(axis=-1, keepdims=True)
    # At the maximiser m = R(a) + lambda phi(a)/pi(a) for every a; where pi/phi is largest, R is, and nothing cancels.
    best = x.argmax(axis=-1)[..., None]
    above = np.take_along_axis(lam * np.exp(-x) - (top - R), best, axis=-1)
    above = np.maximum(above, np.finfo(np.float64).tiny)
    inside = phi * np.log(lam / (above + (top - R)))
    return (top + above - lam)[..., 0] + lam[..., 0] * inside.sum(axis=-1)


def _posterior_value(phi: Rows, x: Rows) -> Float64[Array, "T S"]:
    ratio = np.exp(x)
    return (phi * (np.where(ratio > 0, ratio * x, 0) - np.expm1(x))).sum(axis=-1)  # 0 log 0 = 0


def _posterior_log_ratio(phi: Rows, R: Rows, lam: Lambda) -> Rows:
    shifted = (R - R.max(axis=-1, keepdims=True)) / lam
    return shifted - np.log((phi * np.exp(shifted)).sum(axis=-1, keepdims=True))


def _posterior_maximum(phi: Rows, R: Rows, lam: Lambda, x: Rows) -> Float64[Array, "T S"]:
    top = R.max(axis=-1, keepdims=True)
    return top[..., 0] + lam[..., 0] * np.log((phi * np.exp((R - top) / lam)).sum(axis=-1))


DIVERGENCES = {
    kl_prior.ALGORITHM.name: Divergence(
        algorithm=kl_prior.ALGORITHM,
        log_ratio=_prior_log_ratio,
        value=lambda phi, x: (phi * (np.expm1(x) - x)).sum(axis=-1),
        weighted_slope=lambda phi, x: -phi,
        by_log_phi=lambda phi, x: -phi * x,
        looseness=np.exp,
        metric=lambda phi, x: phi,
        maximum=_prior_maximum,
    ),
    kl_posterior.ALGORITHM.name: Divergence(
        algorithm=kl_posterior.ALGORITHM,
        log_ratio=_posterior_log_ratio,
        value=_posterior_value,
        weighted_slope=lambda phi, x: phi * np.exp(x) * x,
        by_log_phi=lambda phi, x: -phi * np.exp(x),
        looseness=np.ones_like,
        metric=lambda phi, x: phi * np.exp(x),
        maximum=_posterior_maximum,
    ),
}


def divergence_of(algorithm: str | Algorithm) -> Divergence:
    """The divergence of an algorithm that has a constrained form.

    Raises:
        UnknownName: it has none.
    """
    name = algorithm if isinstance(algorithm, str) else algorithm.name
    if name not in DIVERGENCES:
        raise UnknownName("algorithm with a constrained form", name, DIVERGENCES)
    return DIVERGENCES[name]
