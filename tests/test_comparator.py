"""The comparator errors of the contraction bound against their definition, with the comparator written out."""

from __future__ import annotations

import numpy as np
from helpers import row_softmax
from hypothesis import given
from strategies import cases

from bomrl_theory.numbers import FLOATS, Array, Balls, to_floats
from bomrl_theory.tasks.policy import deterministic
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import best_eps, best_t, comparator_error, inner_error
from bomrl_theory.theory.measured import Measured


def measured(case: Case) -> tuple[Measured, Array, Array, Array]:
    """The case in floats, with phi, Q^phi and pi*."""
    m = Measured(case, FLOATS)
    return m, m.phi.pi, m.phi.Q, deterministic(m.a_star, case.family.actions)


def assert_close(m: Measured, definition: Array) -> None:
    """The expression in balls has the value of the definition in floats."""
    balls = Balls(128)
    with balls.activated():
        value = to_floats(comparator_error(Measured(m.case, balls)))
    scale = 1 + np.abs(m.phi.Q).max() + float(m.case.lam)
    assert np.abs(value - definition).max() <= 1e-9 * scale


@given(cases(["kl-prior"]))
def test_prior_divergence(case: Case) -> None:
    """q = (1-eps) pi* + eps phi: ``<pi* - q, Q> + lambda KL(phi || q)``."""
    with FLOATS.activated():
        m, phi, Q, star = measured(case)
        eps = best_eps(m)[..., None]
        q = (1 - eps) * star + eps * phi
        assert np.all((eps > 0) & (eps <= 1))
        assert_close(m, ((star - q) * Q).sum(-1) + float(case.lam) * (phi * np.log(phi / q)).sum(-1))


@given(cases(["kl-posterior"]))
def test_posterior_divergence(case: Case) -> None:
    """q = pi*: ``lambda KL(pi* || phi)``."""
    with FLOATS.activated():
        m, phi, _, star = measured(case)
        assert_close(m, float(case.lam) * (star * np.log(1 / phi)).sum(-1))


@given(cases(["euclidean"]))
def test_euclidean_divergence(case: Case) -> None:
    """q = softmax(theta_phi + t e_{a*}): ``<pi* - q, Q> + (lambda/nu) |t (e_{a*} - 1/A)|^2``, t = 0 where unvisited."""
    with FLOATS.activated():
        m, phi, Q, star = measured(case)
        t = best_t(m)[..., None]
        assert np.all(t[~m.phi.visited] == 0)
        q = row_softmax(np.log(phi) + t * star)
        direction = t * (star - 1 / case.family.actions)
        weight = np.where(t[..., 0] > 0, float(case.lam) / np.where(m.phi.visited, m.phi.nu, 1), 0)
        assert_close(m, ((star - q) * Q).sum(-1) + weight * (direction**2).sum(-1))


@given(cases(["kl-prior", "kl-posterior", "euclidean"]))
def test_inner_error_of_a_solved_step_is_rounding(case: Case) -> None:
    """eta pays for floating point only: beyond rounding, pi+ loses to neither phi nor the comparator."""
    balls = Balls(128)
    with balls.activated():
        m = Measured(case, balls)
        eta = to_floats(inner_error(m))
        scale = 1 + np.abs(to_floats(m.phi.Q)).max() + float(case.lam)
    assert np.all(eta >= 0)
    assert eta.max() <= 1e-9 * scale


@given(cases(["kl-prior"]))
def test_eps_is_the_minimiser(case: Case) -> None:
    """No eps of a grid gives a smaller comparator error."""
    with FLOATS.activated():
        m, phi, _, _ = measured(case)
        gain, p, lam = m.at_star(m.phi.advantage), m.at_star(phi), float(case.lam)

        def error(eps: Array) -> Array:
            return eps * gain + lam * (p * np.log(p / (1 - eps * (1 - p))) - (1 - p) * np.log(eps))

        grid = np.geomspace(1e-6, 1, 200)[:, None, None]
        scale = 1 + np.abs(gain).max() + lam
        assert np.all(error(best_eps(m)) <= error(grid).min(axis=0) + 1e-9 * scale)
