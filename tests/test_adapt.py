"""Within-task adaptation: optimal by other people's solvers, by first-order conditions, and robust at the extremes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from helpers import drawn, evaluation, row_softmax
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize
from strategies import cases

from bomrl_theory.adapt.adapt import adapt, algorithm_named, algorithms
from bomrl_theory.adapt.sampled import LONGEST, SAMPLES, estimated_values, horizon
from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.policy import SMALLEST
from bomrl_theory.tasks.random_dense import random_dense
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.small import late_reward
from bomrl_theory.theory.theorem import ADAPTING

REGULARISED = ("kl-prior", "kl-posterior", "euclidean")
every_adapting = pytest.mark.parametrize("algorithm", ADAPTING)


def dense(seed: int, *, states: int = 3, actions: int = 3, tasks: int = 1, gamma: Any = "0.8") -> TaskFamily:
    """A dense random family."""
    return random_dense(states=states, actions=actions, tasks=tasks, gamma=gamma, rng=np.random.default_rng(seed))


def random_policy(seed: int, family: TaskFamily) -> Array:
    """A policy of random concentration."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(family.actions, 10 ** rng.uniform(-0.5, 1)), family.states) + 1e-6


def adapted(case: Case) -> tuple[Evaluation, Array]:
    """The float evaluation of phi and the adapted policies, normalised."""
    policy = case.adaptation.policies[-1]
    return case.solved.evaluate(case.phi, FLOATS), policy / policy.sum(axis=-1, keepdims=True)


def state_by_state(case: Case) -> list[tuple[Array, Array, Array]]:
    """``(phi, Q^phi, pi+)`` of every task and state."""
    with FLOATS.activated():
        phi, plus = adapted(case)
        shape = (-1, case.family.actions)
        return list(zip(phi.pi.reshape(shape), phi.Q.reshape(shape), plus.reshape(shape), strict=True))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("algorithm", ["kl-prior", "kl-posterior"])
def test_divergence_regularised_steps_against_cvxpy(algorithm: str, seed: int) -> None:
    """A general convex solver, given the definition, finds the same policy and no better value."""
    family = dense(seed)
    lam = float(10 ** np.random.default_rng(seed).uniform(-1, 1))
    case = Case.new(family, random_policy(seed, family), algorithm, lam)
    for phi, Q, plus in state_by_state(case):
        q = cp.Variable(len(Q))
        if algorithm == "kl-prior":
            penalty = cp.sum(cp.rel_entr(phi, q))
            reached = plus @ Q - lam * (phi * np.log(phi / plus)).sum()
        else:
            penalty = cp.sum(cp.rel_entr(q, phi))
            reached = plus @ Q - lam * (plus * np.log(plus / phi)).sum()
        simplex: list[Any] = [cp.sum(q) == 1, q >= 0]
        problem = cp.Problem(cp.Maximize(Q @ q - lam * penalty), simplex)
        value = problem.solve(solver=cp.CLARABEL)
        assert reached == pytest.approx(value, abs=1e-6)
        assert plus == pytest.approx(np.asarray(q.value), abs=2e-4)


@given(cases(["kl-prior"]))
def test_first_order_conditions_of_the_prior_divergence(case: Case) -> None:
    """``Q + lambda phi/pi`` is one multiplier at every state, from lambda = 1e-4 to 1e3."""
    lam = float(case.lam)
    for phi, Q, plus in state_by_state(case):
        free = plus > 2 * SMALLEST
        above = lam * phi[free] / plus[free]  # mu - Q(a), which cancellation cannot spoil
        multipliers = above + Q[free]
        scale = np.abs(Q).max() + above.min() + 1e-12
        assert np.ptp(multipliers) <= 1e-9 * (scale + above.max())
        assert case.adaptation.status == "solved"


@given(cases(["kl-posterior"]))
def test_first_order_conditions_of_the_posterior_divergence(case: Case) -> None:
    """``log(pi/phi) - Q/lambda`` is constant, except where pi is held up at the smallest normal double."""
    lam = float(case.lam)
    for phi, Q, plus in state_by_state(case):
        exact = np.log(phi) + (Q - Q.max()) / lam
        exact -= exact.max() + np.log(np.exp(exact - exact.max()).sum())
        expected = np.maximum(exact, np.log(SMALLEST))
        assert np.abs(np.log(plus) - expected).max() <= 1e-9 * (1 + np.abs(expected).max() + np.ptp(Q) / lam * 1e-3)


def smooth_loss(u: Array, theta: Array, Q: Array, ell: float) -> tuple[float, Array]:
    """``ell |u|^2 - <softmax(theta + u), Q>`` and its gradient."""
    pi = row_softmax(theta + u)
    return float(ell * (u @ u) - pi @ Q), 2 * ell * u - pi * (Q - pi @ Q)


@pytest.mark.parametrize("seed", range(10))
def test_euclidean_step_against_many_starts(seed: int) -> None:
    """L-BFGS from 50 random starts finds nothing better at any state."""
    rng = np.random.default_rng(seed)
    family = dense(seed, states=2, actions=int(rng.integers(2, 5)))
    lam = float(10 ** rng.uniform(-3, 0))
    case = Case.new(family, random_policy(seed, family), "euclidean", lam)
    with FLOATS.activated():
        nu = adapted(case)[0].nu.ravel()
    for (phi, Q, plus), weight in zip(state_by_state(case), nu, strict=True):
        theta, ell = np.log(phi), lam / weight
        u = np.log(plus) - theta
        reached, _ = smooth_loss(u - u.mean(), theta, Q, ell)
        for start in rng.normal(size=(50, len(Q))) * 10 ** rng.uniform(-1, 1.5, (50, 1)):
            found = minimize(smooth_loss, start, args=(theta, Q, ell), jac=True, method="L-BFGS-B")
            assert reached <= found.fun + 1e-8 * (1 + np.abs(Q).max())


def test_euclidean_step_leaves_a_poor_local_maximum() -> None:
    """phi(best) = 2^-14 and lambda = 1/1000: climbing from phi stops at once, the optimum lies far away."""
    family = TaskFamily.new([[[[1], [1]]]], [[[1, 0]]], 0, [1])
    phi = np.array([[1.0, 2.0**14 - 1]])
    plus = adapt(family, phi, "euclidean", 1e-3).policies[-1][0, 0]
    theta, Q = np.log(phi[0] / phi.sum()), np.array([1.0, 0.0])
    grid = np.linspace(0, 40, 4001)
    best = min(smooth_loss(np.array([t, -t]) / 2, theta, Q, 1e-3)[0] for t in grid)
    change = np.log(plus) - theta
    assert smooth_loss(change - change.mean(), theta, Q, 1e-3)[0] <= best + 1e-9
    assert best < -0.85
    assert plus[0] / plus.sum() > 0.98


@given(cases(["euclidean"]))
def test_euclidean_step_is_stationary(case: Case) -> None:
    """The gradient of the definition vanishes at every visited state."""
    with FLOATS.activated():
        nu = adapted(case)[0].nu.ravel()
    lam = float(case.lam)
    for (phi, Q, plus), weight in zip(state_by_state(case), nu, strict=True):
        if weight < 1e-100 or plus.min() <= 2 * SMALLEST:
            continue
        change = np.log(plus) - np.log(phi)
        u = change - change.mean()
        pull = plus * (Q - plus @ Q) / (2 * lam / weight)
        assert np.abs(u - pull).max() <= 1e-6 * (1 + np.abs(u).max())


@given(cases(["euclidean"]))
def test_unvisited_states_stay_at_phi(case: Case) -> None:
    """Where the objective says nothing Alg^(3) changes no bit."""
    unvisited = ~case.solved.evaluate(case.phi, FLOATS).visited
    plus = case.adaptation.policies[-1]
    phi = np.broadcast_to(case.phi, plus.shape)
    assert np.array_equal(plus[unvisited], phi[unvisited])


def test_some_unvisited_state_exists_and_others_move() -> None:
    """The property above is not vacuous: the middle state is skipped, the end states adapt."""
    P = np.zeros((1, 3, 2, 3))
    P[0, :, :, 2] = 1
    family = TaskFamily.new(P, [[[1, 0], [1, 0], [1, 0]]], "1/2", [1, 0, 0])
    phi = np.array([[1.0, 3.0]] * 3)
    plus = adapt(family, phi, "euclidean", 0.5).policies[-1][0]
    assert plus[1].tolist() == [1.0, 3.0]
    assert plus[0, 0] > 0.26
    assert plus[2, 0] > 0.26


@pytest.mark.parametrize("algorithm", REGULARISED)
def test_tied_actions_stay_at_phi(algorithm: str) -> None:
    """Where all actions are worth the same, no bit changes, whatever lambda."""
    family = TaskFamily.new(
        [[[[1, 2], [1, 2]], [[0, 1], [0, 1]]]], [[[1, 1], [3, 3]]], "9/10", [1, 1], row_weights=True
    )
    phi = np.array([[1.0, 2.0], [3.0, 7.0]])
    for lam in (1e-4, 1.0, 1e3):
        assert np.array_equal(adapt(family, phi, algorithm, lam, steps=2).policies[-1][0], phi)


@given(cases(ADAPTING, steps=3))
def test_adapted_policies_are_proper(case: Case) -> None:
    """Finite, positive, with sums that normalise, from lambda = 1e-4 to 1e3 and nearly deterministic phi."""
    adaptation = case.adaptation
    assert adaptation.policies.shape == (case.steps + 1, *case.family.r.shape)
    assert np.array_equal(adaptation.policies[0], np.broadcast_to(case.phi, case.family.r.shape))
    assert len(adaptation.steps) == case.steps
    assert np.all(np.isfinite(adaptation.policies))
    assert np.all(adaptation.policies >= SMALLEST)


@pytest.mark.parametrize("lam", [1e-300, 1e-12, 1e12, 1e300])
@every_adapting
def test_extreme_regularisation(algorithm: str, lam: float) -> None:
    """No overflow, no loss of support: a huge lambda stays near phi, a tiny one turns greedy."""
    family = dense(1)
    phi = random_policy(1, family)
    plus = adapt(family, phi, algorithm, lam).policies[-1][0]
    assert np.all(np.isfinite(plus))
    assert np.all(plus >= SMALLEST)
    plus = plus / plus.sum(axis=-1, keepdims=True)
    if lam > 1:
        assert plus == pytest.approx(phi / phi.sum(axis=-1, keepdims=True), abs=1e-9)
    else:
        with FLOATS.activated():
            Q = evaluation(family, phi).Q[0]
        greedy = plus[np.arange(3), Q.argmax(axis=-1)] if algorithm != "policy-gradient" else plus.max(axis=-1)
        assert np.all(greedy > 0.99)


@given(cases(REGULARISED))
def test_regularised_steps_never_lose(case: Case) -> None:
    """J(pi+) >= J(phi) on every task: Alg^(i) beats staying in its own objective at every state."""
    with FLOATS.activated():
        before = case.solved.evaluate(case.phi, FLOATS).J
        after = case.solved.evaluate(case.adaptation.policies[-1], FLOATS).J
    scale = (1 + np.abs(case.family.r).max()) / (1 - float(case.family.gamma)) ** 2
    assert np.all(after >= before - 1e-12 * scale)


@every_adapting
def test_steps_repeat_collect_and_solve(algorithm: str) -> None:
    """K steps are K times one step from the policy reached, each with its own evaluation."""
    family = dense(4)
    phi = random_policy(4, family)
    three = adapt(family, phi, algorithm, 0.5, steps=3)
    policy = phi
    for step in range(3):
        policy = adapt(family, policy, algorithm, 0.5).policies[-1][0]
        assert three.policies[step + 1][0] == pytest.approx(policy, rel=1e-12)
    assert not np.allclose(three.policies[1], three.policies[2], atol=1e-6)
    assert np.array_equal(adapt(family, phi, algorithm, 0.5, steps=0).policies[-1][0], phi)


def test_no_adaptation_changes_nothing() -> None:
    """The baseline is phi itself on every task."""
    family = dense(2, tasks=3)
    phi = random_policy(2, family)
    assert np.array_equal(adapt(family, phi, "none", 1.0).policies[-1], np.broadcast_to(phi, family.r.shape))


@pytest.mark.parametrize("seed", range(4))
def test_policy_gradient_step_against_finite_differences(seed: int) -> None:
    """theta+ = theta_phi + (1-gamma)/(2 lambda) grad J, with J differentiated numerically."""
    family = dense(seed, gamma="1/2")
    phi = random_policy(seed, family)
    phi = phi / phi.sum(axis=-1, keepdims=True)
    lam, width = 0.3, 1e-5

    def J(theta: Array) -> float:
        with FLOATS.activated():
            return float(evaluation(family, row_softmax(theta)).J[0])

    theta, gradient = np.log(phi), np.zeros_like(phi)
    for place in np.ndindex(*phi.shape):
        shift = np.zeros_like(phi)
        shift[place] = width
        gradient[place] = (J(theta + shift) - J(theta - shift)) / (2 * width)
    expected = row_softmax(theta + (1 - 0.5) / (2 * lam) * gradient)
    assert adapt(family, phi, "policy-gradient", lam).policies[-1][0] == pytest.approx(expected, abs=1e-8)
    assert np.abs(expected - phi).max() > 1e-3


@given(cases(REGULARISED, states=3, actions=3, tasks=2), st.data())
def test_objective_is_no_lower_than_at_random_policies(case: Case, data: st.DataObject) -> None:
    """The package's own objective, which the theorems' inner error uses, is maximal at pi+."""
    weights = data.draw(st.lists(st.integers(1, 100), min_size=case.family.actions, max_size=case.family.actions))
    other = np.broadcast_to(np.array(weights, dtype=float), case.family.r.shape)
    lam = float(case.lam)
    with FLOATS.activated():
        phi = case.solved.evaluate(case.phi, FLOATS)
        assume(case.algorithm.name != "euclidean" or phi.nu[phi.visited].min() > 1e-6)
        reached = case.algorithm.objective(phi, lam, case.solved.evaluate(case.adaptation.policies[-1], FLOATS))
        elsewhere = case.algorithm.objective(phi, lam, case.solved.evaluate(other, FLOATS))
    visited = phi.visited if case.algorithm.name == "euclidean" else np.ones_like(phi.visited)
    scale = 1 + np.abs(phi.Q).max() + lam
    assert np.all((reached - elsewhere)[visited] >= -1e-9 * scale)


def test_objective_by_hand() -> None:
    """One state, phi = (1/4, 3/4), pi = (1/2, 1/2), Q = (1, 0), lambda = 2."""
    family = TaskFamily.new([[[[1], [1]]]], [[[1, 0]]], 0, [1])
    with FLOATS.activated():
        phi, pi = (evaluation(family, np.array([row])) for row in ([1.0, 3.0], [1.0, 1.0]))
        values = {name: float(algorithm_named(name).objective(phi, 2.0, pi)[0, 0]) for name in REGULARISED}
    assert values["kl-prior"] == pytest.approx(0.5 - 2 * (0.25 * np.log(0.5) + 0.75 * np.log(1.5)))
    assert values["kl-posterior"] == pytest.approx(0.5 - 2 * (0.5 * np.log(2) + 0.5 * np.log(2 / 3)))
    assert values["euclidean"] == pytest.approx(0.5 - 2 * 2 * (np.log(3) / 2) ** 2)


@pytest.mark.parametrize("name", ["none", "policy-gradient"])
def test_algorithms_without_objective_say_so(name: str) -> None:
    """Asking for the objective of a plain gradient step is a mistake."""
    family = dense(0)
    phi = evaluation(family, random_policy(0, family))
    with pytest.raises(TypeError, match="does not maximise a regularised objective"):
        algorithm_named(name).objective(phi, 1.0, phi)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"lam": 0.0}, InvalidTask, r"lambda = 0\.0 must be positive"),
        ({"lam": -1.0}, InvalidTask, r"lambda = -1\.0 must be positive"),
        ({"lam": float("nan")}, InvalidTask, "lambda = nan must be positive"),
        ({"lam": float("inf")}, InvalidTask, "lambda = inf must be positive and finite"),
        ({"steps": -1}, InvalidTask, "steps = -1 must not be negative"),
        ({"algorithm": "kl-posteriour"}, UnknownName, "unknown algorithm 'kl-posteriour'; did you mean kl-posterior"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    """The message names the value and its range, or the closest name."""
    with pytest.raises(error, match=message):
        adapt(drawn("bandit"), np.ones((1, 4)), **{"algorithm": "kl-posterior", "lam": 1.0, **changes})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"phi": [[1, 0]]}, InvalidTask, r"positive with shape \[1, 2\]"),
        ({"phi": [[1, 1, 1]]}, InvalidTask, r"positive with shape \[1, 2\]"),
        ({"phi": [[1, float("nan")]]}, InvalidTask, r"the meta-policy\[s=0, a=1\] is nan"),
        ({"phi": [[1e308, 1e308]]}, InvalidTask, "the meta-policy"),
        ({"lam": 0}, InvalidTask, "lambda = 0 must be positive"),
        ({"lam": "-1/10"}, InvalidTask, "lambda = -1/10 must be positive"),
        ({"lam": "much"}, InvalidTask, "lambda = 'much' is not a finite number"),
        ({"lam": 10**400}, InvalidTask, "lambda"),
        ({"steps": -1}, InvalidTask, "steps = -1"),
        ({"algorithm": "ppo"}, UnknownName, "unknown algorithm 'ppo'"),
    ],
)
def test_bad_cases(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """A case is valid before anything is computed on it."""
    family = TaskFamily.new([[[[1], [1]]]], [[[1, 0]]], 0, [1])
    with pytest.raises(error, match=message):
        Case.new(family, **{"phi": [[1, 1]], "algorithm": "kl-posterior", "lam": 1, **arguments})


def test_every_algorithm_is_a_file_and_named() -> None:
    """Discovery finds the common algorithms and the special ones, and nothing unnamed."""
    special = {"wrong-task", "kl-posterior-halving", "kl-posterior-sampled", "online-average"}
    assert set(algorithms()) == {"none", *ADAPTING, *special}
    assert all(algorithm.label and algorithm.summary for algorithm in algorithms().values())


def test_wrong_task_takes_the_next_tasks_step() -> None:
    """Task 0 gets what Alg^(2) found on task 1, and the last task what it found on the first."""
    family = dense(3, tasks=3)
    phi = random_policy(3, family)
    right = adapt(family, phi, "kl-posterior", 0.5).policies[-1]
    wrong = adapt(family, phi, "wrong-task", 0.5).policies[-1]
    assert np.array_equal(wrong, right[[1, 2, 0]])
    assert not np.array_equal(wrong, right)


def test_halving_takes_each_step_with_half_the_lambda() -> None:
    """Three steps are one with lambda, one with lambda/2 and one with lambda/4, each from where the last one led."""
    family = dense(4)
    policies = adapt(family, random_policy(4, family), "kl-posterior-halving", 0.75, steps=3).policies
    for k, weight in enumerate((0.75, 0.375, 0.1875)):
        assert np.array_equal(policies[k + 1], adapt(family, policies[k][0], "kl-posterior", weight).policies[-1])


# --- sampled action values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gamma", "steps"), [("0", 1), ("1/4096", 1), ("1/2", 10), ("9/10", LONGEST), ("999/1000", LONGEST)]
)
def test_returns_are_cut_when_little_is_left(gamma: str, steps: int) -> None:
    """The smallest number of rewards after which the discount is below 1/1000, and never more than the longest."""
    assert horizon(Fraction(gamma)) == steps
    assert steps == LONGEST or float(Fraction(gamma)) ** steps <= 1e-3


def test_estimate_without_chance_is_the_cut_return() -> None:
    """Deterministic moves, one reward: what follows is not seen."""
    family = late_reward()
    with FLOATS.activated():
        phi = evaluation(family, np.ones((3, 2)))
        assert np.array_equal(estimated_values(phi), family.r)
        assert phi.Q[0, 0] == pytest.approx([1, -1 + 1 / 1024])


def test_estimates_have_the_mean_and_the_spread_of_sampled_returns() -> None:
    """Errors average out over many pairs, and have the size of 1/sqrt(samples); both sides of it are tested."""
    family = dense(3, tasks=40, gamma="1/2")
    phi = random_policy(3, family)
    with FLOATS.activated():
        exact = evaluation(family, phi)
        error = estimated_values(exact) - exact.Q
        spread = np.sqrt(((exact.Q - exact.V[..., None]) ** 2).mean() + family.r.var())
    assert abs(error.mean()) < 0.02 * spread
    assert 0.1 < error.std() / spread * np.sqrt(SAMPLES) < 3


def test_a_step_on_estimates_keeps_them_task_by_task() -> None:
    """The step is the closed form on the estimate, and a case restricted to a task keeps that task's numbers."""
    case = Case.new(dense(5, tasks=3, gamma="1/2"), random_policy(5, dense(5)), "kl-posterior-sampled", Fraction(1, 2))
    estimate = case.adaptation.steps[-1].estimate
    assert estimate is not None
    phi = case.phi / case.phi.sum(axis=-1, keepdims=True)
    expected = row_softmax(np.log(phi) + estimate / 0.5)
    plus = case.adaptation.policies[-1]
    assert plus / plus.sum(axis=-1, keepdims=True) == pytest.approx(expected, rel=1e-12)
    part = case.restricted((2,)).adaptation
    assert np.array_equal(part.steps[-1].estimate, estimate[[2]])  # pyright: ignore
    assert np.array_equal(part.policies[-1], plus[[2]])
    assert adapt(case.family, case.phi, "kl-posterior", 0.5).steps[-1].estimate is None


def test_online_average_starts_each_task_from_the_optima_before_it() -> None:
    """Three one-state tasks with optimal arms 0, 0, 1: a prior count of phi, then one count a task."""
    arms = [[1, 0], [1, 0], [0, 1]]
    family = TaskFamily.new([[[[1], [1]]]] * 3, [[row] for row in arms], 0.5, [1])
    policies = adapt(family, np.array([[0.25, 0.75]]), "online-average", 0.5, steps=2).policies
    assert np.allclose(policies[1][:, 0, 0], [0.25, 1.25 / 2, 2.25 / 3], atol=0, rtol=1e-15)
    for task in range(3):
        step = adapt(family, policies[1][task], "kl-posterior", 0.5).policies[-1]
        assert np.array_equal(policies[2][task], step[task])


@pytest.mark.parametrize("name", list(algorithms()))
def test_whether_tasks_are_mixed_is_declared(name: str) -> None:
    """A task's policy is the same whichever other tasks the family holds, or the algorithm says that it may not be."""
    family = dense(2, tasks=3)
    phi = random_policy(2, family)
    together = adapt(family, phi, name, 0.1, steps=2).policies[-1]
    alone = []
    for task in range(family.tasks):
        one = TaskFamily.new(family.P[[task]], family.r[[task]], family.gamma, family.rho[[task]], row_weights=True)
        alone.append(adapt(one, phi, name, 0.1, steps=2).policies[-1])
    same = np.allclose(together, np.concatenate(alone), rtol=1e-9, atol=1e-12)
    assert same is not algorithm_named(name).mixes_tasks
