"""The constants and measurements behind the meta-training and bilevel theorems, by other means than verdicts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import arb
from helpers import drawn, evaluation, row_softmax

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.derivatives import (
    action_value_change,
    action_value_pullback,
    adjoint_terms,
    hessian_product,
    policy_gradient,
    soft_hypergradient,
    value_change,
)
from bomrl_theory.meta.hypergradient import hypergradient
from bomrl_theory.meta.objective import objective
from bomrl_theory.numbers import FLOATS, Array, Balls, Rationals
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theory.bilevel import implicit, inner_iterates, slope_norm, slopes, unrolled
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, lam
from bomrl_theory.theory.draws import random_policy
from bomrl_theory.theory.maml import SMALL_STEP, SMALL_STEPS
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.registry import registry
from bomrl_theory.theory.smoothness import (
    CHAIN,
    CURVATURE,
    GRADIENT,
    META_SMOOTHNESS,
    SMOOTHNESS,
    SPREAD,
    THIRD,
    R,
    dual_norm,
    measure,
    n,
)
from bomrl_theory.verify.random_cases import random_family
from bomrl_theory.verify.verdict import Outcome, judge

CONSTANTS = (R, gamma, n, lam)


def steep(rng: np.random.Generator) -> TaskFamily:
    """Small deterministic tasks with rewards 0 and 1, where the constants are closest to being attained."""
    S, A = int(rng.integers(1, 4)), int(rng.integers(2, 4))
    P = np.eye(S)[rng.integers(S, size=(2, S, A))]
    gamma = [0, Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)][rng.integers(4)]
    return TaskFamily.new(P, rng.integers(0, 2, (2, S, A)), gamma, np.ones(S), row_weights=True)


def constant(expression: Any, family: TaskFamily, phi: Array, lam: Fraction = Fraction(1)) -> Array:
    """A constant of the bounds for every task [T]; call it inside ``FLOATS.activated()``."""
    return measure(Measured(Case.new(family, phi, "kl-posterior", lam), FLOATS), expression, CONSTANTS)[:, 0]


def reach(u: Array) -> float:
    """D(u)."""
    return float(np.ptp(u, axis=-1).max())


@pytest.mark.parametrize("seed", range(24))
def test_derivatives_stay_within_their_constants(seed: int) -> None:
    """First, second and third derivatives along directions of range 1, and what they do to V, Q and the policy."""
    rng = np.random.default_rng(seed)
    family = steep(rng) if seed % 2 else random_family(rng)
    S, A = family.states, family.actions
    with FLOATS.activated():
        phi = random_policy(rng, S, A) if seed % 3 else np.ones((S, A))
        at = evaluation(family, phi)
        first, spread, second, third, lipschitz = (
            constant(x, family, phi) * (1 + 1e-9) + 1e-9 for x in (GRADIENT, SPREAD, CURVATURE, THIRD, SMOOTHNESS)
        )
        chain = constant(CHAIN, family, phi, Fraction(1, 10)) * (1 + 1e-9) + 1e-9
        assert np.all(dual_norm(Measured(Case.new(family, phi), FLOATS), policy_gradient(at)) <= first)
        for _ in range(20):
            u = np.where(rng.random((S, A)) < 0.5, 1.0, 0.0)
            if reach(u) == 0:
                continue
            everywhere = np.broadcast_to(u, family.r.shape)
            bent = hessian_product(at, everywhere)
            assert np.all(np.ptp(value_change(at, everywhere), axis=-1) <= spread)
            assert np.all(np.abs((everywhere * bent).sum(axis=(1, 2))) <= second)
            assert np.all(np.linalg.norm(bent, axis=(1, 2)) <= lipschitz * np.linalg.norm(u))
            moved = np.ptp(action_value_change(at, everywhere) / 0.1, axis=-1).max(axis=-1)
            assert np.all(moved <= chain)
            h = 1e-4
            ahead, behind = (evaluation(family, row_softmax(np.log(at.pi) + side * h * u)) for side in (1, -1))
            cubic = (hessian_product(ahead, everywhere) - hessian_product(behind, everywhere)) / (2 * h)
            assert np.all(np.abs((everywhere * cubic).sum(axis=(1, 2))) <= third * (1 + 1e-6) + 1e-6)


def test_one_state_is_a_softmax_average() -> None:
    """Step "few states" of proofs/policy_gradient_bound.md: V(s) = H sum m v with m tilted by 1 - F."""
    rng = np.random.default_rng(5)
    family = drawn("garnet:states=4,actions=3,tasks=1")
    g, H = float(family.gamma), 1 / (1 - float(family.gamma))
    policy = row_softmax(rng.normal(size=(4, 3)))
    P, r, s = family.P[0] / family.P[0].sum(axis=-1, keepdims=True), family.r[0], 1
    with FLOATS.activated():
        V = evaluation(family, policy).V[0]
    # Killed at s: from elsewhere, the discounted rewards before s and the discounted chance of reaching it.
    others = [x for x in range(4) if x != s]
    pi_P, pi_r = np.einsum("sa,saz->sz", policy, P), (policy * r).sum(axis=-1)
    killed = np.eye(3) - g * pi_P[np.ix_(others, others)]
    before, reaching = np.linalg.solve(killed, pi_r[others]), np.linalg.solve(killed, g * pi_P[others, s])
    F = g * (P[s][:, s] + P[s][:, others] @ reaching)
    gained = r[s] + g * P[s][:, others] @ before
    v = gained / ((1 - F) * H)
    m = policy[s] * (1 - F) / (policy[s] * (1 - F)).sum()
    assert H * (m @ v) == pytest.approx(V[s], rel=1e-12)
    assert r.min() <= v.min() <= v.max() <= r.max()
    assert np.all((reaching >= 0) & (reaching <= 1))


@pytest.mark.parametrize("seed", range(20))
def test_total_variance_of_a_discounted_sum(seed: int) -> None:
    """``E sum gamma^t A_t^2 <= R^2 H^2 (1+gamma)/4`` from every start; attained by a fair coin at gamma = 0."""
    rng = np.random.default_rng(seed)
    family = steep(rng)
    with FLOATS.activated():
        at = evaluation(family, np.ones((family.states, family.actions)))
        squares = at.model.numbers.solve_discounted(at.P, at.model.gamma, at.average(at.advantage**2))
        H, spread = 1 / (1 - at.model.gamma), np.ptp(family.r, axis=(1, 2))
        assert np.all(squares.max(axis=-1) <= spread**2 * H**2 * (1 + at.model.gamma) / 4 * (1 + 1e-9))


def test_meta_ascent_with_the_certified_step_never_descends() -> None:
    """Step 1/L_F on the average over tasks, in floats, for many steps."""
    rng = np.random.default_rng(9)
    family = drawn("garnet:states=4,actions=3,tasks=3,gamma=0.5")
    solved, theta, weight = Solved(family), rng.normal(size=(4, 3)), Fraction(2)
    with FLOATS.activated():
        smoothness = float(constant(META_SMOOTHNESS, family, np.ones((4, 3)), weight).mean())
    start = found = hypergradient(solved, theta, "kl-posterior", float(weight))
    for _ in range(200):
        theta = theta + found.gradient / smoothness
        following = hypergradient(solved, theta, "kl-posterior", float(weight))
        gained = float(np.sum(found.gradient**2)) / (2 * smoothness)
        assert following.value >= found.value + gained * (1 - 1e-6)
        found = following
    assert found.value > start.value
    assert found.value == objective(solved, theta, "kl-posterior", float(weight))


def test_generic_hypergradient_is_the_one_in_floats() -> None:
    """The formula that theorems evaluate in balls, and the interface that training uses."""
    rng = np.random.default_rng(2)
    solved, theta = Solved(drawn("garnet:states=5,actions=3,tasks=3")), rng.normal(size=(5, 3))
    numbers = Balls(128)
    with numbers.activated():
        at = evaluation(solved.family, row_softmax(theta), numbers)
        _, gradients = soft_hypergradient(at, numbers.constant(Fraction(1, 4)))
        average = (at.model.w[:, None, None] * gradients).sum(axis=0)
        certified = np.array([[float(x.mid()) for x in row] for row in average])
    found = hypergradient(solved, theta, "kl-posterior", 0.25).gradient
    assert np.allclose(found, certified, rtol=1e-11, atol=1e-13)


def unit(states: int, actions: int) -> Array:
    """One logit direction after the other [S*A, S, A]."""
    return np.eye(states * actions).reshape(-1, states, actions)


def test_unrolled_gradient_is_that_of_the_truncated_value() -> None:
    """Central differences of ``rho . w_t``; and with ever more steps both methods give the policy gradient."""
    rng = np.random.default_rng(1)
    family = drawn("garnet:states=4,actions=3,tasks=2,gamma=0.5")
    theta, h = rng.normal(size=(4, 3)), 1e-5

    def truncated(logits: Array, steps: int) -> Array:
        at = evaluation(family, row_softmax(logits))
        return (at.model.rho * inner_iterates(at, steps)[-1]).sum(axis=-1)

    with FLOATS.activated():
        at = evaluation(family, row_softmax(theta))
        for steps in (1, 3, 6):
            found = unrolled(at, steps, steps)
            differences = [truncated(theta + h * u, steps) - truncated(theta - h * u, steps) for u in unit(4, 3)]
            numeric = np.stack(differences, axis=-1) / (2 * h)
            assert np.allclose(found, numeric.reshape(found.shape), rtol=1e-6, atol=1e-9)
        exact = policy_gradient(at)
        assert np.allclose(unrolled(at, 60, 60), exact, rtol=1e-9, atol=1e-12)
        assert np.allclose(implicit(at, 60, 60), exact, rtol=1e-9, atol=1e-12)
        assert not np.allclose(unrolled(at, 60, 2), exact, rtol=1e-3)
        x = rng.normal(size=family.r.shape)
        assert np.allclose(action_value_pullback(at, x, terms=60), action_value_pullback(at, x), rtol=1e-9, atol=1e-12)
        assert len(adjoint_terms(at, at.model.rho, 3)) == 3


def test_slope_norm_is_the_operator_norm() -> None:
    """The largest change of a state's backup over directions of range 1, found by trying all of them."""
    family = drawn("garnet:states=3,actions=3,tasks=1,branching=2")
    rng = np.random.default_rng(4)
    with FLOATS.activated():
        at = evaluation(family, row_softmax(rng.normal(size=(3, 3))))
        w = rng.normal(size=(1, 3))
        corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
        assert slope_norm(at, w)[0] == pytest.approx(np.abs(slopes(at, w)[0] @ corners.T).max(), rel=1e-12)


def test_rational_system_with_a_promoted_entry_is_solved_in_balls() -> None:
    """The solution encloses the exact one; a row without promoted entries stays rational."""
    numbers = Rationals(256)
    with numbers.activated():
        half, one = numbers.constant(Fraction(1, 2)), numbers.constant(1)
        P = np.array([[[half, half], [half, half]]] * 2, dtype=object)
        right = np.array([[one, one], [one, arb(1)]], dtype=object)
        exact, promoted = numbers.solve_discounted(P, half, right)
    assert list(exact) == [2, 2]
    assert all(isinstance(x, arb) and x.contains(2) for x in promoted)


@pytest.mark.parametrize("seed", range(5))
def test_small_steps_meet_their_assumption(seed: int) -> None:
    """The draw that MAML's theorems ask for is in their scope, and covers a range of step sizes."""
    rng = np.random.default_rng(seed)
    solved = Solved(random_family(rng))
    cases = list(SMALL_STEPS.make(solved, rng, "drawn"))
    assert len(cases) == SMALL_STEPS.cases
    assert len({case.lam for case in cases}) > 1
    for case in cases:
        verdicts = judge(registry()["maml_smoothness-v1"], case)
        assert {verdict.outcome for verdict in verdicts} == {Outcome.HOLDS}


def test_assumption_of_small_steps_is_sharp() -> None:
    """``2 lambda >= (1-gamma) L_V``: on the boundary in scope, below it not."""
    family = TaskFamily.new([[[[1], [1]]]], [[[1, 0]]], 0, [1])
    assumption = SMALL_STEP(lambda: Case.new(family, [[1, 1]], "policy-gradient"))
    assert assumption.broken is not None
    theorem = registry()["maml_ascent-v1"]
    outcomes = {
        lam: judge(theorem, Case.new(family, [[1, 1]], "policy-gradient", lam))[0].outcome
        for lam in (Fraction(1, 8), Fraction(1249, 10000))
    }
    assert list(outcomes.values()) == [Outcome.HOLDS, Outcome.OUT_OF_SCOPE]


def test_evaluation_of_a_tilted_policy_keeps_what_does_not_move() -> None:
    """States that are never visited, or whose logits all change alike, stay to the last bit, also in rationals."""
    family = TaskFamily.new([[[[1, 0], [1, 0]], [[0, 1], [1, 0]]]], [[[0, 1], [0, 1]]], Fraction(1, 2), [1, 0])
    numbers = Rationals(128)
    with numbers.activated():
        at: Evaluation = evaluation(family, np.array([[1.0, 2.0], [1.0, 2.0]]), numbers)
        plus, gradient = soft_hypergradient(at, numbers.constant(1))
        assert list(plus.pi[0, 1]) == list(at.pi[0, 1])
        assert isinstance(plus.pi[0, 0, 0], arb)
        assert gradient[0, 1, 0] == 0
