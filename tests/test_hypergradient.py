"""Exact derivatives and hypergradients: against finite differences, against each other, in every number system."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers import NUMBERS, drawn, evaluation, row_softmax
from hypothesis import given
from hypothesis import strategies as st

from bomrl_theory.adapt.adapt import ADAPTING, adapt
from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.derivatives import (
    action_value_change,
    action_value_pullback,
    hessian_product,
    policy_gradient,
    soft_step,
    tilted,
    visitation_change,
    visitation_pullback,
)
from bomrl_theory.meta.hypergradient import hypergradient
from bomrl_theory.meta.objective import objective
from bomrl_theory.numbers import ENCLOSURES, FLOATS, Array, Balls, Numbers, Rationals, to_floats
from bomrl_theory.tasks.family import TaskFamily

AGREEMENT = 1e-9
FINITE_DIFFERENCES = 1e-7
ROUNDING = 1e-13
"""Absolute, for gradients that vanish but for rounding, such as with a single action."""


def dense_family(rng: np.random.Generator) -> TaskFamily:
    """Up to 16 states, 4 actions, 5 tasks, gamma up to 0.95."""
    T, S, A = (int(rng.integers(1, n + 1)) for n in (5, 16, 4))
    P = rng.dirichlet(np.full(S, 0.5), (T, S, A))
    gamma = Fraction(int(rng.integers(0, 96)), 100)
    rho, weights = rng.dirichlet(np.ones(S), T), rng.integers(1, 4, T)
    return TaskFamily.new(P, rng.normal(size=(T, S, A)), gamma, rho, weights, row_weights=True)


seeds = st.integers(0, 2**32 - 1)
lambdas = st.floats(-2, 1).map(lambda x: 10**x)


def along(solved: Solved, theta: Array, direction: Array, algorithm: str, lam: float) -> float:
    """The derivative of F along a direction by central differences, extrapolated twice (Romberg).

    Steps are tried from coarse to fine; the answer is where two successive ones agree best.
    """

    def central(h: float) -> float:
        ahead, behind = (objective(solved, theta + side * h * direction, algorithm, lam) for side in (1, -1))
        return (ahead - behind) / (2 * h)

    def romberg(h: float) -> float:
        rough = [central(h / 2**k) for k in range(4)]
        for order in (4, 16, 64):
            rough = [(order * fine - coarse) / (order - 1) for coarse, fine in pairwise(rough)]
        return rough[0]

    estimates = [romberg(0.5 / 3**k) for k in range(12)]
    errors = [abs(x - y) for x, y in pairwise(estimates)]
    return estimates[int(np.argmin(errors)) + 1]


@pytest.mark.parametrize("algorithm", ["none", *ADAPTING])
@given(seed=seeds, lam=lambdas)
def test_hypergradient_agrees_with_finite_differences(algorithm: str, seed: int, lam: float) -> None:
    """Along the gradient itself, where the derivative is the gradient's length."""
    rng = np.random.default_rng(seed)
    solved = Solved(dense_family(rng))
    theta = rng.normal(size=(solved.family.states, solved.family.actions))
    found = hypergradient(solved, theta, algorithm, lam)
    assert found.status == "solved"
    assert found.value == objective(solved, theta, algorithm, lam)
    size = float(np.linalg.norm(found.gradient))
    if size < 1e-6:  # saturated: F has no digits left to differentiate
        assert solved.family.actions == 1 or lam < 1
        return
    direction = found.gradient / size
    assert along(solved, theta, direction, algorithm, lam) == pytest.approx(size, rel=FINITE_DIFFERENCES)


@pytest.mark.parametrize("algorithm", ADAPTING)
@given(seed=seeds, lam=lambdas)
def test_methods_agree_and_the_gauge_is_fixed(algorithm: str, seed: int, lam: float) -> None:
    """Closed form and dense implicit differentiation agree; shifts of a state's logits change nothing."""
    rng = np.random.default_rng(seed)
    solved = Solved(dense_family(rng))
    theta = rng.normal(size=(solved.family.states, solved.family.actions))
    exact = hypergradient(solved, theta, algorithm, lam).gradient
    implicit = hypergradient(solved, theta, algorithm, lam, method="implicit").gradient
    shifted = hypergradient(solved, theta + rng.normal(size=(len(theta), 1)), algorithm, lam).gradient
    size = np.linalg.norm(exact)
    assert np.linalg.norm(implicit - exact) <= AGREEMENT * size + ROUNDING
    assert np.linalg.norm(shifted - exact) <= 1e-6 * size + ROUNDING
    assert np.abs(exact.sum(axis=-1)).max() <= AGREEMENT * size + ROUNDING


@pytest.mark.parametrize("algorithm", ADAPTING)
@given(seed=seeds, lam=lambdas)
def test_hypergradient_agrees_with_the_complex_step(algorithm: str, seed: int, lam: float) -> None:
    """F is analytic: ``Im F(theta + i h u) / h`` is its derivative to rounding, by another path altogether."""
    rng = np.random.default_rng(seed)
    family = dense_family(rng)
    theta, u = rng.normal(size=(2, family.states, family.actions))
    exact = hypergradient(Solved(family), theta, algorithm, lam).gradient
    h = 1e-30
    slope = complex_objective(family, theta + 1j * h * u, algorithm, lam).imag / h
    assert (exact * u).sum() == pytest.approx(
        slope, rel=AGREEMENT, abs=AGREEMENT * float(np.linalg.norm(exact)) + ROUNDING
    )


def complex_objective(family: TaskFamily, theta: Any, algorithm: str, lam: float) -> complex:
    """F at complex logits, with the inner problems solved by Newton's method from their real solutions."""
    gamma, weights = float(family.gamma), family.weights / family.weights.sum()

    def softmax(x: Any) -> Any:
        grown = np.exp(x - x.real.max(axis=-1, keepdims=True))
        return grown / grown.sum(axis=-1, keepdims=True)

    def evaluate(pi: Any, task: int) -> tuple[Any, Any, complex]:
        P, r = family.P[task] / family.P[task].sum(axis=-1, keepdims=True), family.r[task]
        rho = family.rho[task] / family.rho[task].sum()
        system = np.eye(len(r)) - gamma * np.einsum("sa,saz->sz", pi, P)
        V = np.linalg.solve(system, (pi * r).sum(axis=-1))
        return r + gamma * P @ V, (1 - gamma) * np.linalg.solve(system.T, rho + 0j), rho @ V

    total = 0j
    phi = softmax(theta)
    for task, weight in enumerate(weights):
        Q, nu, _ = evaluate(phi, task)
        V = (phi * Q).sum(axis=-1, keepdims=True)
        if algorithm == "kl-posterior":
            plus = softmax(theta + Q / lam)
        elif algorithm == "policy-gradient":
            plus = softmax(theta + nu[:, None] * phi * (Q - V) / (2 * lam))
        else:
            real = adapt(family, phi.real, algorithm, lam).policies[-1][task]
            if algorithm == "kl-prior":
                mu = (lam * phi.real / real + Q.real).mean(axis=-1, keepdims=True) + 0j
                for _ in range(8):
                    terms = lam * phi / (mu - Q)
                    mu = mu + (terms.sum(axis=-1, keepdims=True) - 1) / (terms / (mu - Q)).sum(axis=-1, keepdims=True)
                plus = lam * phi / (mu - Q)
            else:
                change = np.log(real / phi.real)
                y = theta + change - change.mean(axis=-1, keepdims=True)
                for _ in range(8):
                    plus = softmax(y)
                    gain = nu[:, None] * plus * (Q - (plus * Q).sum(axis=-1, keepdims=True))
                    cross = gain[:, :, None] * plus[:, None, :]
                    slope = gain[:, :, None] * np.eye(Q.shape[1]) - cross - np.swapaxes(cross, 1, 2)
                    off = gain - 2 * lam * (y - theta)
                    y = y + np.linalg.solve(2 * lam * np.eye(Q.shape[1]) - slope, off[..., None])[..., 0]
                plus = softmax(y)
        total += weight * evaluate(plus, task)[2]
    return complex(total)


@pytest.mark.parametrize("algorithm", ADAPTING)
def test_first_order_variant_is_another_vector(algorithm: str) -> None:
    """It drops a term that is not zero; without transitions that actions can choose there is none to drop."""
    rng = np.random.default_rng(4)
    solved = Solved(drawn("garnet:states=6,actions=3,tasks=2"))
    theta = rng.normal(size=(6, 3))
    exact, first = (hypergradient(solved, theta, algorithm, 0.5, method=m).gradient for m in ("exact", "first-order"))
    assert np.linalg.norm(exact - first) > 1e-3 * np.linalg.norm(exact)
    bandits = Solved(TaskFamily.new(np.ones((2, 1, 3, 1)), rng.normal(size=(2, 1, 3)), Fraction(1, 2), [1]))
    if algorithm != "policy-gradient":  # MAML drops the Hessian of J, which a bandit has as well
        exact, first = (
            hypergradient(bandits, theta[:1], algorithm, 0.5, method=m).gradient for m in ("exact", "first-order")
        )
        assert np.allclose(exact, first, rtol=1e-12, atol=1e-15)


def test_unadapted_hypergradient_is_the_policy_gradient() -> None:
    rng = np.random.default_rng(6)
    solved = Solved(drawn("garnet:states=5,actions=3,tasks=3"))
    theta = rng.normal(size=(5, 3))
    with FLOATS.activated():
        expected = np.einsum("t,tsa->sa", *(lambda e: (e.model.w, policy_gradient(e)))(at(solved, theta)))
    assert np.allclose(hypergradient(solved, theta, "none").gradient, expected, rtol=1e-12, atol=1e-15)


def at(solved: Solved, theta: Array, numbers: Numbers = FLOATS) -> Evaluation:
    return evaluation(solved.family, row_softmax(theta), numbers)


Differentiated = Callable[[Evaluation], Array]


@pytest.mark.parametrize(
    ("quantity", "derivative"),
    [
        (lambda e: e.Q, action_value_change),
        (lambda e: e.nu, visitation_change),
        (policy_gradient, hessian_product),
    ],
    ids=["Q", "nu", "policy gradient"],
)
@given(seed=seeds)
def test_directional_derivatives(
    quantity: Differentiated, derivative: Callable[[Evaluation, Array], Array], seed: int
) -> None:
    """Central differences of what is differentiated."""
    rng = np.random.default_rng(seed)
    solved = Solved(dense_family(rng))
    theta, u = rng.normal(size=(2, *solved.family.r.shape))
    h = 1e-4
    with FLOATS.activated():
        exact = derivative(at(solved, theta), u)
        slopes = [
            (quantity(at(solved, theta + k * u)) - quantity(at(solved, theta - k * u))) / (2 * k) for k in (h, 2 * h)
        ]
    assert np.allclose((4 * slopes[0] - slopes[1]) / 3, exact, rtol=1e-7, atol=1e-8 * (1 + np.abs(exact).max()))


@given(seed=seeds)
def test_pullbacks_are_adjoint(seed: int) -> None:
    """``<x, d(u)> = <pullback(x), u>``, and the Hessian is symmetric."""
    rng = np.random.default_rng(seed)
    solved = Solved(dense_family(rng))
    theta, u, x = rng.normal(size=(3, *solved.family.r.shape))
    with FLOATS.activated():
        here = at(solved, theta)
        pairs = [
            ((x * action_value_change(here, u)).sum(), (action_value_pullback(here, x) * u).sum()),
            ((x[..., 0] * visitation_change(here, u)).sum(), (visitation_pullback(here, x[..., 0]) * u).sum()),
            ((x * hessian_product(here, u)).sum(), (hessian_product(here, x) * u).sum()),
        ]
    for one, other in pairs:
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("numbers", NUMBERS, ids=lambda numbers: numbers.name)
def test_every_number_system_gives_the_same_derivatives(numbers: Numbers) -> None:
    rng = np.random.default_rng(12)
    family = drawn("garnet:states=4,actions=3,tasks=2")
    policy, u = row_softmax(rng.normal(size=(4, 3))), rng.normal(size=family.r.shape)

    def everything(system: Numbers) -> list[Array]:
        with system.activated():
            here, direction = evaluation(family, policy, system), system.load(u)
            soft = soft_step(here, system.constant(Fraction(1, 3)))
            found = [
                policy_gradient(here),
                action_value_change(here, direction),
                action_value_pullback(here, direction),
                visitation_change(here, direction),
                visitation_pullback(here, direction[..., 0]),
                hessian_product(here, direction),
                soft.pi,
                policy_gradient(soft),
                tilted(here, direction).J,
            ]
            return [to_floats(x) for x in found]

    for one, other in zip(everything(numbers), everything(FLOATS), strict=True):
        assert np.allclose(one, other, rtol=1e-11, atol=1e-12)


def test_rationals_keep_ties_exact() -> None:
    """Where all actions tie Alg^(2) stays, without a logarithm or exponential that would leave the rationals."""
    family = TaskFamily.new([[[[1, 0], [1, 0]], [[0, 1], [1, 0]]]], [[[1, 1], [2, 0]]], 0, [1, 1], row_weights=True)
    numbers = Rationals(128)
    with numbers.activated():
        here = evaluation(family, np.array([[1.0, 3.0], [1.0, 3.0]]), numbers)
        soft = soft_step(here, numbers.constant(1))
        assert list(soft.pi[0, 0]) == list(here.pi[0, 0])
        assert policy_gradient(soft)[0, 0, 0] == 0
        assert float(soft.pi[0, 1, 0]) == pytest.approx(1 / (1 + 3 * np.exp(-2)), rel=1e-15)


@pytest.mark.parametrize("numbers", [ENCLOSURES, Balls(256)], ids=lambda numbers: numbers.name)
def test_enclosures_of_the_gradient_hold_it(numbers: Numbers) -> None:
    """Against exact rationals."""
    family = drawn("garnet:states=5,actions=3,tasks=2")
    policy = row_softmax(np.random.default_rng(3).normal(size=(5, 3)))
    exact = Rationals(128)
    with exact.activated():
        true = policy_gradient(evaluation(family, policy, exact))
    with numbers.activated():
        found = policy_gradient(evaluation(family, policy, numbers))
        low, high = np.asarray(found - 1e-12 <= to_floats(true)), np.asarray(found + 1e-12 >= to_floats(true))
    assert np.all(low & high)


@pytest.mark.parametrize(
    ("theta", "algorithm", "lam", "method", "message"),
    [
        (np.zeros((4, 2)), "kl-posterior", 1.0, "exact", r"finite with shape \[4, 3\]"),
        (np.full((4, 3), np.nan), "kl-posterior", 1.0, "exact", "must be finite"),
        (np.zeros((4, 3)), "kl-posterior", 0.0, "exact", "lambda = 0"),
        (np.zeros((4, 3)), "kl-posteriour", 1.0, "exact", "did you mean kl-posterior"),
        (np.zeros((4, 3)), "kl-posterior", 1.0, "first_order", "did you mean first-order"),
    ],
    ids=["shape", "nan", "lambda", "algorithm", "method"],
)
def test_wrong_input_is_told(theta: Array, algorithm: str, lam: float, method: str, message: str) -> None:
    solved = Solved(drawn("garnet:states=4,actions=3,tasks=1"))
    with pytest.raises((InvalidTask, UnknownName), match=message):
        hypergradient(solved, theta, algorithm, lam, method=method)  # pyright: ignore[reportArgumentType]
