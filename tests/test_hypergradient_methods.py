"""Every hypergradient method on every lower level: against central differences, each other, and its own promises.

The table over 100 families is in results/hypergradients.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
from helpers import drawn, row_softmax

from bomrl_theory.adapt import euclidean, kl_posterior
from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.adapt.constrained import constrained, constrained_step
from bomrl_theory.adapt.constraint import Constraint, CostBudget, TrustRegion
from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.errors import InvalidTask, MissingExtra
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta import differences
from bomrl_theory.meta.differences import Precise
from bomrl_theory.meta.hypergradient import (
    METHODS,
    ConjugateGradient,
    Hypergradient,
    Method,
    Unrolled,
    hypergradient,
)
from bomrl_theory.numbers import FLOATS, Array, Balls
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet

AGREEMENT = 1e-9
FINITE_DIFFERENCES = 1e-7
FREE = ("none", "kl-prior", "kl-posterior", "euclidean", "policy-gradient")
BOUNDED = [
    (name, kind)
    for name in ("kl-prior", "kl-posterior")
    for kind in ("budget, active", "budget, inactive", "region, active", "mixed budgets")
]
CASES = [*((name, "free") for name in FREE), *BOUNDED, ("kl-posterior", "mixed regions")]
FAMILIES = range(3)
UNBIASED = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch"))
    if name == "autodiff"
    else name
    for name in METHODS
    if name not in ("exact", "first-order")
]
cases = pytest.mark.parametrize(("algorithm", "kind"), CASES)
family_numbers = pytest.mark.parametrize("number", FAMILIES)


class Problem:
    """A family with a meta-policy; lambda is 0.01, 0.3 and 10, the discount 0.95, 0.5 and 0."""

    def __init__(self, number: int):
        rng = np.random.default_rng([number, 17])
        S, A, T = (16, 4, 5) if number == 0 else (int(rng.integers(2, 9)), int(rng.integers(2, 5)), 3)
        gamma = (Fraction(19, 20), Fraction(1, 2), Fraction(0))[number]
        self.lam = (0.01, 0.3, 10.0)[number]
        if number == 1:  # sparse, with states that are never visited
            sparse = garnet(states=S, actions=A, branching=2, tasks=T, gamma=gamma, rng=rng)
            family = TaskFamily.new(sparse.P, sparse.r, gamma, np.eye(S)[0], [1, 2, 3], row_weights=True)
        else:
            P, rho = rng.dirichlet(np.full(S, 0.5), (T, S, A)), rng.dirichlet(np.ones(S), T)
            family = TaskFamily.new(P, rng.normal(size=(T, S, A)), gamma, rho, rng.integers(1, 4, T), row_weights=True)
        self.solved = Solved(family)
        self.theta: Array = rng.normal(size=(S, A))
        self.cost: Array = rng.random((T, S, A))

    def algorithm(self, name: str, kind: str) -> str | Algorithm:
        """The free algorithm, or a limit that binds on all tasks, on none, or on every second one."""
        return name if kind == "free" else constrained(name, self.constraint(name, kind))

    def constraint(self, name: str, kind: str) -> Constraint:
        with FLOATS.activated():
            phi = self.solved.evaluate(row_softmax(self.theta), FLOATS)
            free = constrained_step(phi, name, CostBudget.new(self.cost, 1e9), self.lam).program
            excess = free.at_zero()[1]
            binding, loose = free.floor + 0.4 * excess, free.floor + excess + 0.4 * (free.range - excess)
            every_second = np.arange(len(binding)) % 2 == 0
            match kind:
                case "budget, active":
                    return CostBudget.new(self.cost, binding)
                case "budget, inactive":
                    return CostBudget.new(self.cost, loose)
                case "mixed budgets":
                    return CostBudget.new(self.cost, np.where(every_second, binding, loose))
            widest = constrained_step(phi, name, TrustRegion.new(1e-3)).program.at_zero()[1]
            if kind == "mixed regions":
                return TrustRegion.new(np.where(every_second, 0.4 * widest, 2 * widest))
            return TrustRegion.new(0.4 * np.minimum(widest, 2))

    def hypergradient(self, name: str, kind: str, method: str) -> Hypergradient:
        settings = Unrolled(terms=100_000, sweeps=1000) if method == "unrolled" else method
        return hypergradient(self.solved, self.theta, self.algorithm(name, kind), self.lam, method=settings)

    def slope(self, name: str, kind: str, direction: Array) -> float:
        return Precise.of(self.solved, self.theta, self.algorithm(name, kind), self.lam).derivative(direction)


@cache
def problem(number: int) -> Problem:
    return Problem(number)


@cache
def exact(number: int, algorithm: str, kind: str) -> Hypergradient:
    return problem(number).hypergradient(algorithm, kind, "exact")


@cases
@family_numbers
def test_closed_form_agrees_with_central_differences(number: int, algorithm: str, kind: str) -> None:
    """In 400-bit arithmetic, along the gradient and two random directions."""
    found = exact(number, algorithm, kind)
    size = float(np.linalg.norm(found.gradient))
    assert size > 1e-8
    random = np.random.default_rng(number).normal(size=(2, *found.gradient.shape))
    for direction in (found.gradient / size, *(u / np.linalg.norm(u) for u in random)):
        expected = problem(number).slope(algorithm, kind, direction)
        assert (found.gradient * direction).sum() == pytest.approx(expected, rel=0, abs=FINITE_DIFFERENCES * size)
    assert found.status == "solved"
    assert found.residual <= 1e-8
    assert found.linear_residual is not None
    assert found.linear_residual <= 1e-12


@pytest.mark.parametrize("method", UNBIASED)
@cases
@family_numbers
def test_methods_agree(number: int, algorithm: str, kind: str, method: str) -> None:
    """With the closed form; and the gauge of the softmax is fixed."""
    expected = exact(number, algorithm, kind)
    found = problem(number).hypergradient(algorithm, kind, method)
    size = np.linalg.norm(expected.gradient)
    assert np.linalg.norm(found.gradient - expected.gradient) <= AGREEMENT * size
    assert np.abs(found.gradient.sum(axis=-1)).max() <= 1e-12 * size
    assert (found.status, found.value) == ("solved", expected.value)
    assert found.method.name == method
    if method == "autodiff":
        assert found.linear_residual is None
    else:
        assert found.linear_residual is not None
        assert found.linear_residual <= 1e-12


@pytest.mark.parametrize("method", UNBIASED)
@pytest.mark.parametrize("lam", [1e-5, 1e-4, 1e-3, 1e3])
@pytest.mark.parametrize("algorithm", FREE)
def test_methods_agree_at_extreme_lambda(algorithm: str, lam: float, method: str) -> None:
    """Also where most of the policy has underflowed, and with it the gradient."""
    it = problem(0)
    expected = hypergradient(it.solved, it.theta, algorithm, lam)
    found = hypergradient(it.solved, it.theta, algorithm, lam, method=method)
    size = np.linalg.norm(expected.gradient)
    assert expected.status == "solved"
    assert np.linalg.norm(found.gradient - expected.gradient) <= (1e-6 if method == "unrolled" else 1e-8) * size
    assert found.status in ("solved", "truncated" if method == "unrolled" else "solved")


@cases
def test_central_differences_notice_a_biased_gradient(algorithm: str, kind: str) -> None:
    """The check above can fail: the first-order variant does, where there is something to leave out."""
    found = problem(0).hypergradient(algorithm, kind, "first-order")
    assert (found.status, found.linear_residual) == ("solved", None)
    direction = found.gradient - exact(0, algorithm, kind).gradient
    size = float(np.linalg.norm(direction))
    if algorithm == "none":
        assert size == 0
        return
    slope = problem(0).slope(algorithm, kind, direction / size)
    relative = abs((found.gradient * direction).sum() / size - slope) / np.linalg.norm(found.gradient)
    assert relative == pytest.approx(size / np.linalg.norm(found.gradient), rel=1e-6)
    assert relative > 1e-3


def test_difference_by_hand() -> None:
    """One state, two actions, gamma 0, Alg^(2): F = sigmoid(theta_0 - theta_1 + 1/lambda)."""
    solved = Solved(TaskFamily.new([[[[1], [1]]]], [[[1, 0]]], 0, [1]))
    theta, lam = np.array([[0.5, -0.25]]), 0.5
    p = 1 / (1 + np.exp(-(0.75 + 1 / lam)))
    slope = Precise.of(solved, theta, "kl-posterior", lam).derivative(np.array([[1.0, 0.0]]))
    assert slope == pytest.approx(p * (1 - p), rel=1e-14)


@pytest.mark.parametrize("algorithm", FREE)
def test_high_precision_objective_is_the_one_in_doubles(algorithm: str) -> None:
    it = problem(1)
    with Balls(differences.PRECISION).activated():
        value = Precise.of(it.solved, it.theta, algorithm, it.lam).value(np.zeros_like(it.theta))
    assert float(value) == pytest.approx(exact(1, algorithm, "free").value, rel=1e-13)


def test_high_precision_refuses_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    it = problem(1)
    direction = np.ones_like(it.theta)
    with pytest.raises(InvalidTask, match="'kl-posterior-halving' is not evaluated in high precision"):
        Precise.of(it.solved, it.theta, "kl-posterior-halving", 1.0).derivative(direction)
    monkeypatch.setattr(differences, "MAXIMUM_ITERATIONS", 2)
    with pytest.raises(InvalidTask, match="did not converge in high precision in 2 iterations"):
        Precise.of(it.solved, it.theta, "kl-prior", 1.0).derivative(direction)


# Unrolled


@pytest.mark.parametrize(("algorithm", "kind"), [case for case in CASES if case[0] != "none"])
def test_unrolled_error_decays_geometrically(algorithm: str, kind: str) -> None:
    """Every ten terms more shrink the error, at the end to a millionth of what it was; the status says truncated."""
    it = problem(1)
    expected = exact(1, algorithm, kind).gradient
    errors = []
    for terms in range(1, 62, 10):
        found = hypergradient(
            it.solved, it.theta, it.algorithm(algorithm, kind), it.lam, method=Unrolled(terms=terms, sweeps=terms)
        )
        if terms < 40:  # policy evaluation alone misses 2^-terms
            assert found.status == "truncated"
        assert found.linear_residual is not None
        errors.append(float(np.linalg.norm(found.gradient - expected)))
    prior = algorithm == "kl-prior"  # its ascent contracts more slowly than policy evaluation at discount 1/2
    assert all(later < before * (0.95 if prior else 0.1) or later < 1e-13 for before, later in pairwise(errors))
    assert errors[-1] < errors[0] * (0.5 if prior else 1e-6)


def test_unrolled_is_exact_in_one_term_where_one_step_solves_the_inner_problem() -> None:
    """Alg^(2) is one step of mirror descent; what one term then leaves out is policy evaluation alone."""
    it = problem(0)
    found = hypergradient(it.solved, it.theta, "kl-posterior", it.lam, method=Unrolled(terms=1, sweeps=2000))
    assert np.allclose(found.gradient, exact(0, "kl-posterior", "free").gradient, rtol=1e-10, atol=0)
    short = hypergradient(it.solved, it.theta, "kl-posterior", it.lam, method=Unrolled(terms=1))
    assert short.status == "truncated"
    assert short.linear_residual == pytest.approx(0.95)


# Conjugate gradients


def test_conjugate_gradients_keep_tolerance_and_cap() -> None:
    it = problem(0)
    expected = exact(0, "kl-prior", "free").gradient
    errors, iterations = [], []
    for tolerance in (0.5, 1e-2, 1e-5, 1e-10):
        found = hypergradient(it.solved, it.theta, "kl-prior", it.lam, method=ConjugateGradient(tolerance))
        assert found.status == "solved"
        assert found.linear_residual is not None
        assert found.linear_residual <= tolerance * (1 + 1e-6)
        errors.append(float(np.linalg.norm(found.gradient - expected)))
        iterations.append(found.iterations)
    assert errors == sorted(errors, reverse=True)
    assert iterations == sorted(set(iterations))
    capped = hypergradient(it.solved, it.theta, "kl-prior", it.lam, method=ConjugateGradient(iterations=3))
    assert (capped.status, capped.iterations) == ("stopped", 3)
    assert capped.linear_residual is not None
    assert capped.linear_residual > 1e-10


def moved(algorithm: Algorithm, change: float) -> Algorithm:
    """An inner solver that ends a little off its solution."""

    def solve(phi: Evaluation, lam: float) -> Step:
        step = algorithm.solve(phi, lam)
        policy = step.policy * (1 + change * np.linspace(-1, 1, step.policy.shape[-1]))
        return replace(step, policy=policy / policy.sum(axis=-1, keepdims=True))

    return replace(algorithm, solve=solve)


@pytest.mark.parametrize("method", ["exact", "implicit", "conjugate-gradient", "unrolled", "first-order"])
@pytest.mark.parametrize("name", ["kl-prior", "kl-posterior", "euclidean"])
def test_policy_that_is_not_stationary_is_flagged(name: str, method: str) -> None:
    it, algorithm = problem(1), algorithm_named(name)
    off = hypergradient(it.solved, it.theta, moved(algorithm, 1e-4), it.lam, method=method)
    assert off.status == "not stationary"
    assert off.residual > 1e-6
    on = hypergradient(it.solved, it.theta, moved(algorithm, 0.0), it.lam, method="exact")
    assert on.status == "solved"


@pytest.mark.parametrize("method", ["exact", "implicit", "conjugate-gradient", "unrolled"])
def test_saddle_is_flagged(method: str) -> None:
    """Alg^(3) with one state, two actions: u and -u are the logits' changes, and g has a minimum between two maxima."""
    family = TaskFamily.new([[[[1], [1]]]], [[[1, 0]]], 0, [1])
    theta, lam = np.array([[-3.0, 3.0]]), 0.02

    def slope(u: float) -> float:
        p = 1 / (1 + np.exp(6 - 2 * u))
        return 2 * p * (1 - p) - 4 * lam * u

    low, high = 0.5, 3.0  # the slope is negative, then positive: a minimum between
    assert slope(low) < 0 < slope(high)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    p = 1 / (1 + np.exp(6 - 2 * low))
    minimum = replace(euclidean.ALGORITHM, solve=lambda phi, lam: Step(np.array([[[p, 1 - p]]]), "solved", 0.0, 1))
    found = hypergradient(Solved(family), theta, minimum, lam, method=method)
    assert found.residual <= 1e-12
    assert found.status == "indefinite"
    assert hypergradient(Solved(family), theta, "euclidean", lam, method=method).status in ("solved", "truncated")


def test_unfinished_inner_solver_is_flagged() -> None:
    it = problem(1)
    stopped = replace(
        kl_posterior.ALGORITHM, solve=lambda phi, lam: replace(kl_posterior.solve(phi, lam), status="stopped")
    )
    assert hypergradient(it.solved, it.theta, stopped, it.lam).status == "stopped"


# Constraints


@pytest.mark.parametrize("method", ["exact", "implicit", "conjugate-gradient", "unrolled"])
def test_weakly_active_budget_is_a_kink(method: str) -> None:
    it = problem(1)
    with FLOATS.activated():
        phi = it.solved.evaluate(row_softmax(it.theta), FLOATS)
        free = constrained_step(phi, "kl-posterior", CostBudget.new(it.cost, 1e9), it.lam).program
        budget = CostBudget.new(it.cost, free.floor + free.at_zero()[1])
    settings = Unrolled(terms=2000) if method == "unrolled" else method
    found = hypergradient(it.solved, it.theta, constrained("kl-posterior", budget), it.lam, method=settings)
    assert found.status == "kink"
    # The gradient is that of the side where the budget does not bind.
    assert np.allclose(found.gradient, exact(1, "kl-posterior", "free").gradient, rtol=1e-9, atol=1e-12)


def test_budget_that_cannot_be_met_is_told() -> None:
    it = problem(1)
    with pytest.raises(InvalidTask, match=r"task 0: the budget -1 cannot be met; the least achievable cost"):
        hypergradient(it.solved, it.theta, constrained("kl-prior", CostBudget.new(it.cost, -1)), it.lam)


def test_wide_trust_region_has_no_gradient() -> None:
    """The best actions alone are left, whatever the meta-policy is."""
    it = problem(1)
    for method in METHODS:
        if method == "autodiff" and find_spec("torch") is None:
            continue
        wide = constrained("kl-posterior", TrustRegion.new(1e3))
        found = hypergradient(it.solved, it.theta, wide, it.lam, method=method)
        assert np.abs(found.gradient).max() <= 1e-15


# The registry


def test_every_method_says_what_it_is() -> None:
    assert list(METHODS) == ["exact", "implicit", "conjugate-gradient", "autodiff", "unrolled", "first-order"]
    for name, method in METHODS.items():
        assert method.name == name
        assert len(method.summary) > 20
        assert not method.summary.endswith(".")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConjugateGradient(tolerance=0.0), "tolerance = 0.0 of the linear solver must lie between 0 and 1"),
        (lambda: ConjugateGradient(iterations=-1), "iterations = -1 of the linear solver must not be negative"),
        (lambda: Unrolled(terms=0), "terms = 0 of the unrolled iterations must be at least 1"),
        (lambda: Unrolled(sweeps=0), "sweeps = 0 of the unrolled iterations must be at least 1"),
    ],
    ids=["tolerance", "iterations", "terms", "sweeps"],
)
def test_wrong_settings_are_told(make: Callable[[], Method], message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        make()


def test_missing_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    solved = Solved(drawn("garnet:states=4,actions=3,tasks=1"))
    with pytest.raises(MissingExtra, match=r"python -m pip install 'bomrl-theory\[torch\]'"):
        hypergradient(solved, np.zeros((4, 3)), method="autodiff")


def test_algorithm_without_a_derivative_is_told() -> None:
    solved = Solved(drawn("garnet:states=4,actions=3,tasks=1"))
    with pytest.raises(InvalidTask, match="no derivative of 'kl-posterior-halving' is known"):
        hypergradient(solved, np.zeros((4, 3)), "kl-posterior-halving")
