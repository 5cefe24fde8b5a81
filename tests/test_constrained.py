"""The constrained lower level: by hand, by cvxpy, by its KKT conditions; its derivative by finite differences."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers import evaluation, row_softmax
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from strategies import LAMBDAS, families, policies

from bomrl_theory.adapt.adapt import adapt
from bomrl_theory.adapt.constrained import ConstrainedStep, constrained, constrained_step, decreasing_root
from bomrl_theory.adapt.constrained_derivative import pullback
from bomrl_theory.adapt.constraint import Constraint, CostBudget, TrustRegion
from bomrl_theory.adapt.kkt import residuals
from bomrl_theory.errors import InvalidTask, MissingExtra, UnknownName
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.random_dense import random_dense

ALGORITHMS = ("kl-prior", "kl-posterior")
both = pytest.mark.parametrize("algorithm", ALGORITHMS)
KINDS = ("budget, active", "budget, inactive", "region, active")


def coin(Q: tuple[float, ...] = (1.0, 0.0)) -> TaskFamily:
    """One state, no future: Q is the reward."""
    return TaskFamily.new([[[[1]] * len(Q)]], [[Q]], 0, [1])


def evaluate(family: TaskFamily, phi: Array) -> Evaluation:
    """The float evaluation, usable at once."""
    with FLOATS.activated():
        return evaluation(family, phi)


def drawn(seed: int, *, states: int = 4, tasks: int = 2) -> tuple[TaskFamily, Array, Array]:
    """A family (every second one sparse, with one start state), logits of phi and costs."""
    rng = np.random.default_rng(seed)
    actions, gamma = int(rng.integers(2, 5)), float(rng.uniform(0, 0.95))
    if seed % 2:
        family = random_dense(states=states, actions=actions, tasks=tasks, gamma=gamma, rng=rng)
    else:
        sparse = garnet(states=states, actions=actions, branching=2, tasks=tasks, gamma=gamma, rng=rng)
        family = TaskFamily.new(sparse.P, sparse.r, gamma, np.eye(states)[0], row_weights=True)
    return family, rng.normal(size=(states, actions)), rng.random(family.r.shape)


def unconstrained(phi: Evaluation, algorithm: str, cost: Array, lam: float) -> tuple[Array, Array, Array]:
    """Least, free and range of the costs that the step can have [T]."""
    step = constrained_step(phi, algorithm, CostBudget.new(cost, 1e12), lam)
    with FLOATS.activated():
        excess = step.program.at_zero()[1]
        return step.program.floor, step.program.floor + excess, step.program.range


def constraint_of(phi: Evaluation, algorithm: str, kind: str, cost: Array, lam: float, share: float) -> Constraint:
    """A limit at ``share`` of the interval in which the constraint is active, or inactive, on every task."""
    if kind.startswith("budget"):
        least, free, reach = unconstrained(phi, algorithm, cost, lam)
        inactive = free + share * (least + reach - free)
        return CostBudget.new(cost, inactive if kind == "budget, inactive" else least + share * (free - least))
    step = constrained_step(phi, algorithm, TrustRegion.new(1e-3))
    with FLOATS.activated():
        return TrustRegion.new(share * np.minimum(step.program.at_zero()[1], 2))


# By hand


@pytest.mark.parametrize("lam", [0.01, 0.7, 10.0])
@both
def test_budget_by_hand(algorithm: str, lam: float) -> None:
    """Q = cost = (1, 0), phi = (1/4, 3/4): the budget 1/10 is the probability of the first action."""
    phi, p, b = evaluate(coin(), np.array([[1.0, 3.0]])), 0.25, 0.1
    step = constrained_step(phi, algorithm, CostBudget.new([[1, 0]], b), lam)
    by_hand = {
        "kl-prior": 1 + lam * (p / b - (1 - p) / (1 - b)),
        "kl-posterior": 1 - lam * (np.log(b / (1 - b)) - np.log(p / (1 - p))),
    }
    assert step.policy[0, 0] == pytest.approx([b, 1 - b], rel=1e-13)
    assert step.multiplier[0] == pytest.approx(by_hand[algorithm], rel=1e-12)
    assert step.activity == ("active",)
    assert step.slack[0] == pytest.approx(0, abs=1e-13)


@pytest.mark.parametrize("q", [0.2500001, 0.3, 0.9])
@both
def test_trust_region_by_hand(algorithm: str, q: float) -> None:
    """Two actions worth 1 and 0: the radius that (q, 1-q) touches gives back q and lambda."""
    phi, p = evaluate(coin(), np.array([[1.0, 3.0]])), 0.25
    forward = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    backward = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    lam = {
        "kl-prior": 1 / ((1 - p) / (1 - q) - p / q),
        "kl-posterior": 1 / (np.log(q / (1 - q)) - np.log(p / (1 - p))),
    }[algorithm]
    step = constrained_step(phi, algorithm, TrustRegion.new(forward if algorithm == "kl-prior" else backward))
    # The radius fixes (q - p)^2 only, and near p it is itself known to few digits.
    digits = 1e-12 + 1e-16 / (q - p) ** 2
    assert step.policy[0, 0, 0] == pytest.approx(q, rel=digits)
    assert step.multiplier[0] == pytest.approx(lam, rel=digits)
    assert step.activity == ("active",)


def test_wide_region_keeps_the_best_actions_in_the_ratio_of_phi() -> None:
    """Q = (1, 1, 0), phi = (1, 2, 3)/6: KL(pi || phi) = log 2 leaves (1/3, 2/3, 0), and lambda is 0."""
    phi = evaluate(coin((1.0, 1.0, 0.0)), np.array([[1.0, 2.0, 3.0]]))
    step = constrained_step(phi, "kl-posterior", TrustRegion.new(0.7))
    assert step.policy[0, 0] == pytest.approx([1 / 3, 2 / 3, 0], abs=1e-200)
    assert step.policy.min() > 0
    assert step.log_policy[0, 0, 2] == -np.inf
    assert (step.multiplier[0], step.activity, step.status) == (0, ("inactive",), "solved")
    assert step.slack[0] == pytest.approx(0.7 - np.log(2))
    narrow = constrained_step(phi, "kl-posterior", TrustRegion.new(0.69))
    assert narrow.activity == ("active",)
    assert 0 < narrow.policy[0, 0, 2] < 0.01


# Against the definition


@both
@given(
    family=families(states=4, actions=3, tasks=3),
    lam=LAMBDAS.map(float),
    share=st.floats(0.01, 0.99),
    data=st.data(),
)
def test_kkt_conditions(algorithm: str, family: TaskFamily, lam: float, share: float, data: st.DataObject) -> None:
    """On shrinking families (ties, unvisited states, discount 0.999) each constraint is solved to rounding."""
    phi = evaluate(family, data.draw(policies(family.states, family.actions)))
    cost = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-2, 3, family.r.shape).astype(float)
    least, free, reach = unconstrained(phi, algorithm, cost, lam)
    budget = least + np.where(reach > 1e-9, share * (free - least) + 1e-9 * reach, 1e-9)
    region = constrained_step(phi, algorithm, TrustRegion.new(1e-20)).program
    with FLOATS.activated():
        # A radius within reach: with a lambda of 1e-6 times the values' size, where anything moves at all.
        far = region.excess(region.log_ratio(np.full(family.tasks, 1e-6 * np.abs(phi.Q).max() + 1e-300)))
    radius = np.where(far > 0, share * far, share)
    for constraint, given_lam in ((CostBudget.new(cost, budget), lam), (TrustRegion.new(radius), None)):
        step = constrained_step(phi, algorithm, constraint, given_lam)
        assert step.status == "solved", (step.kkt, step.activity)
        assert step.residual <= 1e-9
        assert np.all(step.multiplier >= 0)
        assert np.all(step.policy > 0)
        scale = np.maximum(1, np.abs(cost).max() / (1 - float(family.gamma)))
        assert np.all(step.slack >= -1e-9 * scale)
        for task, activity in enumerate(step.activity):
            if activity == "inactive":
                assert step.multiplier[task] == 0
            if activity == "active":
                assert step.multiplier[task] > 0
                assert step.slack[task] == pytest.approx(0, abs=1e-9 * scale)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
@both
def test_against_cvxpy(algorithm: str, kind: str, seed: int) -> None:
    """A general conic solver, given the definition, finds the same policies and multipliers, and nothing better."""
    family, theta, cost = drawn(seed)
    lam = float(10 ** np.random.default_rng(seed).uniform(-1, 1))
    phi = evaluate(family, row_softmax(theta))
    constraint = constraint_of(phi, algorithm, kind, cost, lam, 0.4)
    arguments: tuple[Any, ...] = (phi, algorithm, constraint, lam if isinstance(constraint, CostBudget) else None)
    step, other = constrained_step(*arguments), constrained_step(*arguments, method="cvxpy")
    assert (step.status, other.status) == ("solved", "solved")
    assert other.residual > 1e-13  # it is another computation
    assert other.multiplier == pytest.approx(step.multiplier, rel=1e-4, abs=1e-6)
    assert phi.nu[..., None] * other.policy == pytest.approx(phi.nu[..., None] * step.policy, abs=1e-5)
    assert set(step.activity) == {kind.split(", ")[1]}


@both
def test_residuals_notice_what_is_wrong(algorithm: str) -> None:
    """Each residual is the one that grows: another multiplier, another policy, a broken or a slack constraint."""
    family, theta, cost = drawn(3)
    phi = evaluate(family, row_softmax(theta))
    least, free, _ = unconstrained(phi, algorithm, cost, 0.5)
    step = constrained_step(phi, algorithm, CostBudget.new(cost, (least + free) / 2), 0.5)
    program, kappa = step.program, step.multiplier
    assert step.kkt.largest <= 1e-13
    with FLOATS.activated():
        x = step.log_policy - np.log(phi.pi)
        lower, higher = program.log_ratio(0.9 * kappa), program.log_ratio(1.1 * kappa)
        assert np.all(residuals(program, kappa, lower).violation > 1e-4)
        assert np.all(residuals(program, kappa, higher).violation == 0)
        assert np.all(residuals(program, kappa, higher).complementarity > 1e-4)
        assert np.all(residuals(program, 1.1 * kappa, x).stationarity > 1e-4)
        assert np.all(residuals(program, 1.1 * kappa, x).gap > 1e-6)
        assert np.all(residuals(program, kappa, np.zeros_like(x)).stationarity > 1e-3)


@pytest.mark.parametrize("seed", range(4))
@both
def test_slack_budgets_change_nothing(algorithm: str, seed: int) -> None:
    """A budget that the step meets anyway leaves it as it is, to the last bit."""
    family, theta, cost = drawn(seed)
    phi = row_softmax(theta)
    plain = adapt(family, phi, algorithm, 0.3, steps=2).policies[-1]
    slack = adapt(family, phi, constrained(algorithm, CostBudget.new(cost, 1e3)), 0.3, steps=2).policies[-1]
    assert np.allclose(slack, plain, rtol=1e-12, atol=0)


@pytest.mark.parametrize("seed", range(4))
@both
def test_region_is_the_step_with_its_multiplier(algorithm: str, seed: int) -> None:
    """The radius that Alg^(i) reaches with lambda has the multiplier lambda."""
    family, theta, _ = drawn(seed)
    phi = evaluate(family, row_softmax(theta))
    lam = 0.8
    plain = constrained_step(phi, algorithm, CostBudget.new(np.zeros(family.r.shape), 1), lam)
    with FLOATS.activated():
        radius = plain.program.average(plain.program.divergence.value(phi.pi, plain.log_policy - np.log(phi.pi)))
    step = constrained_step(phi, algorithm, TrustRegion.new(radius))
    assert step.multiplier == pytest.approx(np.full(family.tasks, lam), rel=1e-9)
    assert step.policy == pytest.approx(plain.policy, rel=1e-9)


@both
def test_unvisited_states_are_solved_with_the_same_multiplier(algorithm: str) -> None:
    """State 1 is never visited: its cost does not count, yet its policy pays the price of cost."""
    P = [[[[1, 0], [1, 0]], [[0, 1], [0, 1]]]]
    family = TaskFamily.new(P, [[[1, 0], [1, 0]]], 0, [1, 0])
    phi = evaluate(family, np.ones((2, 2)))
    step = constrained_step(phi, algorithm, CostBudget.new([[1, 0], [0, 5]], 0.3), 0.5)
    other = constrained_step(phi, algorithm, CostBudget.new([[1, 0], [5, 0]], 0.3), 0.5)
    assert step.multiplier == pytest.approx(other.multiplier, rel=1e-14)
    assert step.policy[0, 0, 0] == pytest.approx(0.3)
    assert step.policy[0, 1, 0] > 0.9 > 0.1 > other.policy[0, 1, 0]
    single = coin((1.0, -5 * step.multiplier[0]))
    assert step.policy[0, 1] == pytest.approx(adapt(single, np.ones((1, 2)), algorithm, 0.5).policies[-1][0, 0])


@both
def test_several_steps_with_a_budget_for_each_task(algorithm: str) -> None:
    """adapt() takes the constrained form; each step evaluates the policy reached."""
    family, theta, cost = drawn(5, tasks=3)
    phi = row_softmax(theta)
    least, free, _ = unconstrained(evaluate(family, phi), algorithm, cost, 0.5)
    budget = CostBudget.new(cost, (least + free) / 2)
    form = constrained(algorithm, budget)
    run = adapt(family, phi, form, 0.5, steps=2)
    assert run.status == "solved"
    first = run.steps[0]
    assert isinstance(first, ConstrainedStep)
    assert first.slack == pytest.approx(np.zeros(3), abs=1e-13)
    second = constrained_step(evaluate(family, first.policy), algorithm, budget, 0.5)
    assert run.policies[2] == pytest.approx(second.policy, rel=1e-10)
    with pytest.raises(TypeError, match="does not maximise a regularised objective"):
        form.objective(evaluate(family, phi), 0.5, evaluate(family, phi))
    region = adapt(family, phi, constrained(algorithm, TrustRegion.new([0.1, 0.2, 0.3])), 1.0)
    assert np.all(np.diff(region.policies[1].max(axis=-1).mean(axis=-1)) != 0)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@both
def test_units(algorithm: str, scale: float) -> None:
    """Rewards in another unit change lambda and the price by that unit and no policy; so do costs."""
    family, theta, cost = drawn(1)
    other = TaskFamily.new(family.P, scale * family.r, family.gamma, family.rho, row_weights=True)
    phi, theirs = (evaluate(f, row_softmax(theta)) for f in (family, other))
    budget = constraint_of(phi, algorithm, "budget, active", cost, 0.4, 0.5)
    assert isinstance(budget, CostBudget)
    region = TrustRegion.new(0.05)
    one = constrained_step(phi, algorithm, budget, 0.4)
    two = constrained_step(theirs, algorithm, CostBudget.new(3 * cost, 3 * budget.budget), 0.4 * scale)
    assert two.policy == pytest.approx(one.policy, rel=1e-9)
    assert two.multiplier * 3 == pytest.approx(one.multiplier * scale, rel=1e-9)
    one, two = (constrained_step(e, algorithm, region) for e in (phi, theirs))
    assert two.multiplier == pytest.approx(one.multiplier * scale, rel=1e-9)


# The root


@pytest.mark.parametrize(
    "value",
    [
        lambda k: (np.exp(-k), np.exp(-k)),
        lambda k: (1 / k, 1 / k**2),
        lambda k: (k**-2.0, 2 * k**-3.0),
        # A staircase with a step of relative width 1e-3 at 1/2, 5 and 50.
        lambda k: (
            sum(1 / (1 + np.exp(np.clip(1e3 * (k / s - 1), -700, 700))) for s in (0.5, 5, 50)) + 1e-9 / (1 + k),
            sum(1e3 / s / (2 + 2 * np.cosh(np.clip(1e3 * (k / s - 1), -700, 700))) for s in (0.5, 5, 50))
            + 1e-9 / (1 + k) ** 2,
        ),
    ],
    ids=["exponential", "hyperbola", "square", "staircase"],
)
def test_root(value: Callable[[Array], tuple[Array, Array]]) -> None:
    """From far away, for targets of all sizes, in a bounded number of evaluations."""
    roots = np.array([1e-9, 1e-3, 0.4999, 0.7, 5.001, 50.0, 60.0])
    with FLOATS.activated():
        target = value(roots)[0]
        # Where the value is flat to rounding the root is not determined; the value is.
        for start in (1e-6, 1.0, 1e4):
            found, iterations = decreasing_root(value, np.full(7, start), target, np.ones(7, dtype=bool))
            assert value(found)[0] == pytest.approx(target, rel=1e-12)
            assert iterations <= 150
        untouched, _ = decreasing_root(value, np.full(7, 3.0), target, np.arange(7) == 2)
    assert untouched[[0, 1, 3, 4, 5, 6]].tolist() == [3.0] * 6


def test_settled_roots_stay() -> None:
    """Last bits that change from one evaluation to the next do not move a root that was found."""
    calls = 0

    def value(kappa: Array) -> tuple[Array, Array]:
        nonlocal calls
        calls += 1
        noise = 1 + 4e-15 * (-1) ** calls * (calls > 6) * np.array([1, -1, 0])
        # The last task is a single step, which takes long to find; the others are found at once.
        steep = np.clip(1e5 * (kappa / 5 - 1), -700, 700)
        last = np.arange(3) == 2
        size = np.where(last, 1 / (1 + np.exp(steep)) + 1e-3 / (1 + kappa), noise / kappa)
        fall = np.where(last, 1e5 / 5 / (2 + 2 * np.cosh(steep)) + 1e-3 / (1 + kappa) ** 2, noise / kappa**2)
        return size, fall

    target = np.array([1 / 3, 1 / 7, 0.3])
    with FLOATS.activated():
        found, iterations = decreasing_root(value, np.array([2.0, 9.0, 1e-6]), target, np.ones(3, dtype=bool))
    assert iterations > 20
    assert found[:2] == pytest.approx([3, 7], rel=1e-13)
    assert found[2] == pytest.approx(5, rel=1e-4)


# Derivatives

WIDTHS = (1e-3, 3e-4, 1e-4, 3e-5)


def copies(family: TaskFamily, count: int) -> TaskFamily:
    """The tasks ``count`` times over, so that many meta-policies are solved at once."""
    P, r, rho = np.tile(family.P, (count, 1, 1, 1)), np.tile(family.r, (count, 1, 1)), np.tile(family.rho, (count, 1))
    return TaskFamily.new(P, r, family.gamma, rho, row_weights=True)


def steps_at(
    family: TaskFamily, algorithm: str, constraint: Constraint, lam: float, logits: Array
) -> tuple[ConstrainedStep, Array]:
    """The step at many logits [N, S, A], and its policies' logarithms [N, T, S, A]."""
    count = len(logits)
    phi = evaluate(copies(family, count), np.repeat(row_softmax(logits), family.tasks, axis=0))
    if isinstance(constraint, CostBudget):
        cost = np.tile(np.broadcast_to(constraint.cost, family.r.shape), (count, 1, 1))
        budget = np.tile(np.broadcast_to(constraint.budget, family.tasks), count)
        step = constrained_step(phi, algorithm, CostBudget.new(cost, budget), lam)
    else:
        radius = np.tile(np.broadcast_to(constraint.radius, family.tasks), count)
        step = constrained_step(phi, algorithm, TrustRegion.new(radius))
    return step, step.log_policy.reshape(count, *family.r.shape)


def gradient_by_differences(functional: Callable[[Array], Array], theta: Array) -> Array:
    """Central differences of order 6, at the width where they agree best with the next; blind to any derivative.

    ``functional`` takes logits [N, S, A] to values [N].
    """
    basis = np.eye(theta.size).reshape(-1, *theta.shape)
    gradients = []
    for width in WIDTHS:
        shifts = np.concatenate([k * width * basis for k in (-3, -2, -1, 1, 2, 3)])
        values = functional(theta + shifts).reshape(6, -1)
        gradients.append(np.array([-1, 9, -45, 45, -9, 1]) @ values / (60 * width))
    best = int(np.argmin([np.abs(x - y).max() for x, y in pairwise(gradients)]))
    return gradients[best + 1].reshape(theta.shape)


@pytest.mark.parametrize("kind", KINDS)
@both
@settings(max_examples=6)
@given(seed=st.integers(0, 10**6), exponent=st.floats(-2, 1), share=st.floats(0.1, 0.9))
def test_derivative_against_differences(algorithm: str, kind: str, seed: int, exponent: float, share: float) -> None:
    """Total derivative of a random functional of log pi+ to 1e-7; the table with 100 families is in results/."""
    family, theta, cost = drawn(seed, states=3)
    lam = 10**exponent
    constraint = constraint_of(evaluate(family, row_softmax(theta)), algorithm, kind, cost, lam, share)
    cotangent = np.random.default_rng(seed).normal(size=family.r.shape)

    def functional(logits: Array) -> Array:
        return np.einsum("ntsa,tsa->n", steps_at(family, algorithm, constraint, lam, logits)[1], cotangent)

    expected = gradient_by_differences(functional, theta)
    found = pullback(steps_at(family, algorithm, constraint, lam, theta[None])[0], cotangent, of="log-policy")
    size = float(np.linalg.norm(expected))
    assert found.smoothness == ("differentiable",) * family.tasks
    assert np.linalg.norm(found.gradient.sum(axis=0) - expected) <= 1e-7 * size
    assert np.abs(found.gradient.sum(axis=-1)).max() <= 1e-9 * size


@pytest.mark.parametrize("kind", KINDS)
@both
def test_hypergradient_of_the_return(algorithm: str, kind: str) -> None:
    """The expected return after the step, through the cotangent of the policy itself."""
    family, theta, cost = drawn(8, states=5)
    constraint = constraint_of(evaluate(family, row_softmax(theta)), algorithm, kind, cost, 0.5, 0.5)

    def returns(logits: Array) -> Array:
        step, _ = steps_at(family, algorithm, constraint, 0.5, logits)
        with FLOATS.activated():
            J = Evaluation.of(step.program.phi.model, step.policy).J
        return J.reshape(len(logits), family.tasks).mean(axis=-1)

    step, _ = steps_at(family, algorithm, constraint, 0.5, theta[None])
    plus = evaluate(family, step.policy)
    with FLOATS.activated():
        cotangent = plus.nu[..., None] * plus.Q / (1 - float(family.gamma)) / family.tasks
    expected = gradient_by_differences(returns, theta)
    found = pullback(step, cotangent).gradient.sum(axis=0)
    assert np.linalg.norm(expected) > 1e-3
    assert np.linalg.norm(found - expected) <= 1e-7 * np.linalg.norm(expected)


@both
def test_weakly_active_budget_has_a_kink(algorithm: str) -> None:
    """A budget that the free step meets exactly: one side of phi follows the free step, the other the budget."""
    family, theta, cost = drawn(1, tasks=1)
    _, free, _ = unconstrained(evaluate(family, row_softmax(theta)), algorithm, cost, 0.5)
    budget = CostBudget.new(cost, free)
    cotangent = np.random.default_rng(0).normal(size=family.r.shape)

    def value(logits: Array) -> float:
        step = constrained_step(evaluate(family, row_softmax(logits)), algorithm, budget, 0.5)
        return float((step.log_policy * cotangent).sum())

    def cost_of(logits: Array) -> float:
        return unconstrained(evaluate(family, row_softmax(logits)), algorithm, cost, 0.5)[1][0]

    step = constrained_step(evaluate(family, row_softmax(theta)), algorithm, budget, 0.5)
    assert step.activity == ("weakly active",)
    found = pullback(step, cotangent, of="log-policy")
    assert found.smoothness == ("weakly active",)
    cheaper = np.zeros_like(theta)
    cheaper[0, 0] = -np.sign(cost_of(theta + np.eye(*theta.shape) * [[1e-3], *[[0]] * 3]) - cost_of(theta))
    width = 1e-6
    free_side = (value(theta + width * cheaper) - value(theta)) / width
    bound_side = (value(theta) - value(theta - width * cheaper)) / width
    along = float((found.gradient[0] * cheaper).sum())
    assert along == pytest.approx(free_side, rel=1e-4)
    assert abs(along - bound_side) > 1e-3 * abs(along)


def test_weakly_active_region() -> None:
    """The smallest radius that leaves the best action alone."""
    phi = evaluate(coin(), np.array([[1.0, 3.0]]))
    step = constrained_step(phi, "kl-posterior", TrustRegion.new(np.log(4)))
    assert step.activity == ("weakly active",)
    assert pullback(step, np.ones((1, 1, 2))).smoothness == ("weakly active",)


@pytest.mark.parametrize(("rewards", "smoothness"), [((1.0, 1.0, 0.0), "differentiable"), ((0.0, 1.0, -1.0), "tied")])
def test_ties_in_a_wide_region(rewards: tuple[float, ...], smoothness: str) -> None:
    """Two best actions with the same row stay tied for every phi; with different rows another phi parts them."""
    # From state 0: to state 1 (worth 2), with the first action to state 1 (worth 4 at discount 1/2) if rows differ.
    same = smoothness == "differentiable"
    moves = [[0, 1, 0], [0, 1, 0], [0, 1, 0]] if same else [[0, 1, 0], [0, 0, 1], [0, 0, 1]]
    stay = [[[0, 1, 0]] * 3, [[0, 0, 1]] * 3]
    family = TaskFamily.new([[moves, *stay]], [[list(rewards), [1, 1, 1], [0, 0, 0]]], "1/2", [1, 0, 0])
    theta = np.log(np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, 2.0, 1.0]]))
    cotangent = np.random.default_rng(0).normal(size=(1, 3, 3))

    def step_at(logits: Array) -> ConstrainedStep:
        return constrained_step(evaluate(family, row_softmax(logits)), "kl-posterior", TrustRegion.new(5))

    step = step_at(theta)
    assert step.activity == ("inactive",)
    assert step.policy[0, 0] == pytest.approx([1 / 3, 2 / 3, 0], abs=1e-12)
    found = pullback(step, cotangent)
    assert found.smoothness == (smoothness,)
    if same:
        expected = gradient_by_differences(
            lambda logits: np.array([(step_at(each).policy * cotangent).sum() for each in logits]), theta
        )
        assert found.gradient[0] == pytest.approx(expected, abs=1e-9)
        assert np.abs(expected[0]).max() > 0.05


# Errors


@both
def test_infeasible_budget_names_the_least_cost(algorithm: str) -> None:
    """The least cost in the message is that of a linear program; at it and below there is an error, above none."""
    family, theta, cost = drawn(1, tasks=2)
    phi = evaluate(family, row_softmax(theta))
    step = constrained_step(phi, algorithm, CostBudget.new(cost, 1e3), 1.0)
    with FLOATS.activated():
        objective = (phi.nu[1][:, None] * step.program.Qc[1]).ravel()  # type: ignore[union-attr]
    states, actions = theta.shape
    simplex = np.kron(np.eye(states), np.ones(actions))
    least = linprog(objective, A_eq=simplex, b_eq=np.ones(states), method="highs").fun
    with pytest.raises(
        InvalidTask, match=r"task 1: the budget .* cannot be met; the least achievable cost .* is "
    ) as e:
        constrained_step(phi, algorithm, CostBudget.new(cost, [1e3, least * (1 - 1e-9)]), 1.0)
    assert f"is {least:.10g}"[:12] in str(e.value)
    with pytest.raises(InvalidTask, match="full support"):
        constrained_step(phi, algorithm, CostBudget.new(cost, [1e3, least]), 1.0)
    tight = constrained_step(phi, algorithm, CostBudget.new(cost, [1e3, least * (1 + 1e-9)]), 1.0)
    assert tight.status == "solved"
    assert tight.activity == ("inactive", "active")


def test_cost_that_no_policy_can_change() -> None:
    """The same cost for all: met or not, whatever the policy; met exactly is the edge."""
    phi = evaluate(coin(), np.ones((1, 2)))
    for budget, activity in ((2.0, "inactive"), (1.0, "weakly active")):
        step = constrained_step(phi, "kl-prior", CostBudget.new([[1, 1]], budget), 1.0)
        assert (step.activity, step.multiplier.tolist(), step.status) == ((activity,), [0.0], "solved")
    with pytest.raises(InvalidTask, match=r"task 0: the budget 0\.999 cannot be met; the least achievable .* is 1,"):
        constrained_step(phi, "kl-prior", CostBudget.new([[1, 1]], 0.999), 1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CostBudget.new([[1, float("nan")]], 1), InvalidTask, r"cost\[s=0, a=1\] is nan"),
        (lambda: CostBudget.new([[1, 2], [3]], 1), InvalidTask, "cost is not a rectangular array"),
        (lambda: CostBudget.new([1, 2], 1), InvalidTask, r"cost has shape \[2\]"),
        (lambda: CostBudget.new([[1, 2]], float("inf")), InvalidTask, r"budget\[tau=0\] is inf"),
        (lambda: TrustRegion.new(0), InvalidTask, r"radius\[tau=0\] = 0 must be positive"),
        (lambda: TrustRegion.new([1, -1]), InvalidTask, r"radius\[tau=1\] = -1 must be positive"),
        (lambda: CostBudget.new([[1, 0]], [1, 2]), InvalidTask, "budget has shape .*; give one number, or one for"),
        (lambda: CostBudget.new([[1, 0, 0]], 1), InvalidTask, r"cost has shape \[1, 3\]; the family asks for"),
    ],
)
def test_bad_constraints(call: Callable[[], Constraint], error: type[Exception], message: str) -> None:
    """The message names the value, the place and the remedy."""
    phi = evaluate(coin(), np.ones((1, 2)))
    with pytest.raises(error, match=message):
        constrained_step(phi, "kl-prior", call(), 1.0)


def test_bad_arguments() -> None:
    """Also for the algorithm, lambda, the policy, the method and the cotangent."""
    family = coin()
    phi = evaluate(family, np.ones((1, 2)))
    budget, region = CostBudget.new([[1, 0]], 0.3), TrustRegion.new(0.1)
    with pytest.raises(UnknownName, match="constrained form 'euclidean'"):
        constrained_step(phi, "euclidean", budget, 1.0)
    with pytest.raises(UnknownName, match="unknown method 'dul'; did you mean dual"):
        constrained_step(phi, "kl-prior", budget, 1.0, method="dul")
    for lam in (None, 0.0, float("nan")):
        with pytest.raises(InvalidTask, match="must be positive and finite with a cost budget"):
            constrained_step(phi, "kl-prior", budget, lam)
    with pytest.raises(InvalidTask, match="radius determines lambda; leave it out"):
        constrained_step(phi, "kl-prior", region, 1.0)
    with pytest.raises(InvalidTask, match=r"the meta-policy\[tau=0, s=0, a=1\] is 0, but adaptation needs full"):
        constrained_step(evaluate(family, np.array([[1.0, 0.0]])), "kl-prior", region)
    step = constrained_step(phi, "kl-prior", region)
    with pytest.raises(InvalidTask, match=r"the cotangent must be finite with shape \[1, 1, 2\]"):
        pullback(step, np.ones((1, 2, 2)))
    with pytest.raises(UnknownName, match="argument of the pullback 'log_policy'; did you mean log-policy"):
        pullback(step, np.ones((1, 1, 2)), of="log_policy")
    with pytest.raises(InvalidTask, match="the cotangent must be finite"):
        pullback(step, np.array([[[1.0, np.nan]]]))


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cvxpy the independent check names its pip line, and the scalar root needs nothing."""
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    phi = evaluate(coin(), np.ones((1, 2)))
    with pytest.raises(MissingExtra, match=r"python -m pip install 'bomrl-theory\[lp\]'"):
        constrained_step(phi, "kl-prior", TrustRegion.new(0.1), method="cvxpy")
    assert constrained_step(phi, "kl-prior", TrustRegion.new(0.1)).status == "solved"
