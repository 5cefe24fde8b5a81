"""Exact solution against definitions written down a second time, and against an independent linear program."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers import FAMILIES, ExactChain, drawn, encloses, evaluation, fraction
from hypothesis import given
from hypothesis import strategies as st
from strategies import families, mdps, policies

from bomrl_theory.exact import optimum as optimum_module
from bomrl_theory.exact.linear_program import solve_linear_program
from bomrl_theory.exact.model import Model
from bomrl_theory.exact.optimum import Optimum, optimal_policy
from bomrl_theory.exact.reachability import visited_states
from bomrl_theory.exact.solve import Solution, policy_iteration
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.numbers import ENCLOSURES, FLOATS, Array, Balls, Rationals
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import MDP
from bomrl_theory.tasks.policy import deterministic

EXACT = Rationals(64)


@st.composite
def played_tasks(draw: st.DrawFn, *, support: bool = True) -> tuple[MDP, Array]:
    """A task and a policy on it; without ``support`` some actions are never taken."""
    task = draw(mdps())
    policy = draw(policies(task.states, task.actions))
    if not support:
        dropped = draw(st.lists(st.integers(0, policy.size - 1), max_size=6))
        policy = policy.copy()
        policy.ravel()[dropped] = 0
        policy[policy.sum(axis=-1) == 0, 0] = 1
    return task, policy


@given(played_tasks())
def test_evaluation_is_exact(played: tuple[MDP, Array]) -> None:
    """V, nu and J in rationals equal those of the chain built entry by entry; balls enclose them, floats are near."""
    task, policy = played
    chain = ExactChain(task, policy)
    family = TaskFamily.of([task])
    V, nu = chain.V(), chain.nu()
    J = sum((p * v for p, v in zip(chain.rho, V, strict=True)), Fraction(0))
    with EXACT.activated():
        exact = evaluation(family, policy, EXACT)
        assert [fraction(x) for x in exact.V[0]] == V
        assert [fraction(x) for x in exact.nu[0]] == nu
        assert fraction(exact.J[0]) == J
        assert sum(nu) == 1
        assert J * (1 - chain.gamma) == sum(x * y for x, y in zip(nu, chain.r, strict=True))
        averaged = exact.average(exact.advantage)[0]
        assert np.all(averaged == 0)
    for numbers in (Balls(128), ENCLOSURES):
        with numbers.activated():
            rigorous = evaluation(family, policy, numbers)
            assert all(encloses(rigorous.V[0, s], V[s]) for s in range(task.states))
            assert all(encloses(rigorous.nu[0, s], nu[s]) for s in range(task.states))
            assert encloses(rigorous.J[0], J)
    with FLOATS.activated():
        near = evaluation(family, policy)
        assert np.allclose(near.V[0], [float(x) for x in V], rtol=1e-9, atol=1e-9)
        assert np.allclose(near.nu[0], [float(x) for x in nu], rtol=1e-9, atol=1e-12)


def test_evaluation_is_the_discounted_sum_of_rewards() -> None:
    """The definition itself: rewards along the chain, discounted and added up for 400 steps."""
    family = drawn("garnet:states=6,actions=2,branching=3,tasks=1,gamma=0.9")
    policy = np.random.default_rng(0).dirichlet(np.ones(2), 6)
    P, r = family.P[0] / family.P[0].sum(axis=-1, keepdims=True), family.r[0]
    P_pi, r_pi = np.einsum("sa,saz->sz", policy, P), (policy * r).sum(axis=-1)
    where, V, nu = np.eye(6), np.zeros(6), np.zeros(6)
    for step in range(400):
        V += 0.9**step * where @ r_pi
        nu += 0.1 * 0.9**step * np.full(6, 1 / 6) @ where
        where = where @ P_pi
    with FLOATS.activated():
        result = evaluation(family, policy)
        assert np.allclose(result.V[0], V, rtol=1e-12)
        assert np.allclose(result.nu[0], nu, rtol=1e-12)
        assert np.allclose(result.Q[0], r + 0.9 * P @ V, rtol=1e-12)


@given(played_tasks(support=False))
def test_visited_states_are_those_of_positive_visitation(played: tuple[MDP, Array]) -> None:
    """The answer on the graph is the answer in exact arithmetic, gamma = 0 and never-taken actions included."""
    task, policy = played
    expected = [nu > 0 for nu in ExactChain(task, policy).nu()]
    assert visited_states(TaskFamily.of([task]), policy[None] > 0)[0].tolist() == expected


def test_without_discounting_into_the_future_only_the_start_is_visited() -> None:
    """At gamma = 0 nothing after the first step counts."""
    P, r = [[[[0, 1]], [[0, 1]]]], [[[0], [0]]]
    for gamma, expected in (("0", [True, False]), ("1/2", [True, True])):
        family = TaskFamily.new(P, r, gamma, [1, 0])
        assert visited_states(family, np.ones((1, 2, 1), dtype=bool)).tolist() == [expected]


@given(families())
def test_optimal_policy_is_optimal(family: TaskFamily) -> None:
    """No action has a positive advantage in exact arithmetic, and pi* takes the lowest action among exact ties."""
    optimum = optimal_policy(family)
    assert optimum.certified
    with EXACT.activated():
        star = evaluation(family, deterministic(optimum.actions, family.actions), EXACT)
        assert not np.any(star.advantage > 0)
        assert np.array_equal(optimum.actions, np.argmax(star.advantage == 0, axis=-1))
        same = (family.r == np.take_along_axis(family.r, optimum.actions[..., None], -1)) & np.all(
            np.take_along_axis(family.P, optimum.actions[..., None, None], 2) == family.P, axis=-1
        )
        clear = ((star.advantage < 0) | same).all(axis=(-2, -1))
    # A tie of different actions takes rationals; a tie of actions that are the same takes no arithmetic.
    assert all(how == "rational" for how, easy in zip(optimum.decided, clear, strict=True) if not easy)


@pytest.mark.parametrize("spec", FAMILIES)
def test_policy_iteration_agrees_with_the_linear_program(spec: str) -> None:
    """Two solvers that share no code find the same optimal return."""
    family = drawn(spec)
    with FLOATS.activated():
        solution = policy_iteration(family)
        J = evaluation(family, deterministic(solution.actions, family.actions)).J
    assert solution.status == "converged"
    for index, task in enumerate(family):
        program = solve_linear_program(task)
        assert program.status == "optimal"
        assert program.residual < 1e-9
        assert abs(program.J - J[index]) <= 1e-10 * max(1, abs(J[index]))
        assert program.occupancy.sum() == pytest.approx(1, abs=1e-9)


def test_linear_program_by_hand() -> None:
    """Two states: go once for 1, or stay for 1/2 at each step; at gamma = 3/4 staying is worth 2."""
    task = MDP.new([[[1, 0], [0, 1]], [[0, 1], [0, 1]]], [[0.5, 1], [0, 0]], "3/4", [1, 0])
    program = solve_linear_program(task)
    assert [program.J, program.J_dual] == pytest.approx([2, 2], abs=1e-9)
    assert program.occupancy == pytest.approx(np.array([[1, 0], [0, 0]]), abs=1e-9)


def test_ties_go_to_the_lowest_index() -> None:
    """Actions that are exactly equally good are decided in rationals, not by rounding."""
    third = Fraction(1, 3)
    P = [[[1, 2], [1, 2], [2, 4]], [[1, 0], [1, 0], [1, 0]]]
    task = MDP.new(P, [[0, 1, 1], [2, 2, 2]], third, [1, 0], weights=True)
    optimum = optimal_policy(TaskFamily.of([task]))
    assert optimum.actions.tolist() == [[1, 0]]
    assert optimum.decided == ("rational",)


def test_each_task_is_decided_by_the_cheapest_arithmetic_that_can() -> None:
    """Clear optima and a difference of one part in 10^20 by enclosures, and actions that are the same; ties of
    different actions by rationals, or not at all where the task is too large for them."""
    stay, go = [1.0, 0.0], [0.0, 1.0]
    tasks = [
        ([stay, go], [1.0, 0.0]),  # clear
        ([stay, stay], [2.0**-67, 0.0]),  # nearly tied
        ([stay, stay], [1.0, 1.0]),  # the same action twice
        ([stay, go], [1.0, 1.0]),  # tied: both states are worth 2
    ]
    P = [[rows, [go, go]] for rows, _ in tasks]
    r = [[rewards, [1.0, 1.0]] for _, rewards in tasks]
    family = TaskFamily.new(P, r, "1/2", [1, 0])
    optimum = optimal_policy(family)
    assert optimum.actions.tolist() == [[0, 0]] * 4
    assert optimum.decided == ("enclosure", "enclosure", "enclosure", "rational")
    assert optimal_policy(family, rational_states=1).decided == ("enclosure", "enclosure", "enclosure", "float")


def test_difference_below_float_precision_is_seen() -> None:
    """An action better by one part in 10^16 is not a tie."""
    better = np.nextafter(1.0, 2.0)
    family = TaskFamily.new([[[[1.0], [1.0]]]], [[[1.0, better]]], Fraction(99, 100), [1.0])
    assert optimal_policy(family).actions.tolist() == [[1]]


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_wrong_proposal_is_corrected(monkeypatch: pytest.MonkeyPatch, wrong: int) -> None:
    """A float solver that returns nonsense cannot make pi* wrong: the certificate repairs it."""
    family = drawn("garnet:states=5,actions=3,branching=2,tasks=3")
    expected = optimal_policy(family)

    def propose(family: TaskFamily, **settings: Any) -> Solution:
        actions = np.full((family.tasks, family.states), wrong)
        return Solution(actions, np.zeros(actions.shape), "converged", 1, np.zeros(family.tasks))

    monkeypatch.setattr(optimum_module, "policy_iteration", propose)
    corrected = optimal_policy(family)
    assert np.array_equal(corrected.actions, expected.actions)
    assert corrected.certified
    assert not optimal_policy(family, rational_states=1).certified
    assert optimal_policy(family, rational_states=1).actions.tolist() == np.full((3, 5), wrong).tolist()


def test_tied_proposal_of_a_higher_index_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of two exactly equal actions pi* takes does not depend on the float solver."""
    family = TaskFamily.new([[[[1.0], [1.0]]]], [[[1.0, 1.0]]], "1/2", [1.0])
    proposal = Solution(np.array([[1]]), np.array([[2.0]]), "converged", 1, np.zeros(1))
    monkeypatch.setattr(optimum_module, "policy_iteration", lambda family, **settings: proposal)
    assert optimal_policy(family).actions.tolist() == [[0]]


def test_policy_iteration_says_when_it_stopped_early() -> None:
    """A solver at its cap does not claim to have converged, and its residual is honest."""
    family = drawn("chain:states=8,tasks=2,gamma=0.99")
    stopped = policy_iteration(family, maximum_iterations=1)
    assert stopped.status == "stopped"
    assert stopped.iterations == 1
    assert stopped.residual.max() > 1e-3
    assert policy_iteration(family).residual.max() < 1e-9


def test_optimum_with_any_float_decision_is_not_certified() -> None:
    """One uncertified task suffices."""
    actions = np.zeros((2, 1), dtype=int)
    assert Optimum(actions, ("enclosure", "rational")).certified
    assert not Optimum(actions, ("enclosure", "float")).certified


def test_solved_families_are_evaluated_once_and_kept_apart() -> None:
    """The same policy is answered from memory; another policy or number system is not."""
    solved = Solved(drawn("bandit"))
    phi, other = np.ones((1, 4)), np.array([[1.0, 2.0, 3.0, 4.0]])
    first = solved.evaluate(phi, FLOATS)
    assert solved.evaluate(phi.copy(), FLOATS) is first
    assert solved.evaluate(other, FLOATS) is not first
    assert solved.evaluate(phi, EXACT) is not first
    for k in range(100):
        solved.evaluate(phi + k, FLOATS)
    with FLOATS.activated():
        again = solved.evaluate(phi, FLOATS)
        assert np.array_equal(again.J, first.J)


@given(families(states=4, actions=3, tasks=4), st.data())
def test_barycentre_minimises_the_expected_divergence(family: TaskFamily, data: st.DataObject) -> None:
    """No drawn meta-policy has a smaller E_tau E_nu* KL(pi* || phi) than the closed form."""
    optimum = optimal_policy(family)
    with FLOATS.activated():
        star = evaluation(family, deterministic(optimum.actions, family.actions))
        w = Model(family, FLOATS).w

        def divergence(phi: Array) -> float:
            p = np.take_along_axis(np.broadcast_to(phi, star.pi.shape), optimum.actions[..., None], -1)[..., 0]
            visited = star.nu > 0
            return float((w[:, None] * star.nu * -np.log(np.where(visited, p, 1))).sum())

        best = divergence(barycentre(family, optimum, uniform_share=0.0))
        other = data.draw(policies(family.states, family.actions))
        assert best <= divergence(other / other.sum(axis=-1, keepdims=True)) + 1e-12
    mixed = barycentre(family, optimum, uniform_share=0.2)
    assert np.all(mixed >= 0.2 / family.actions * (1 - 1e-12))
    assert np.allclose(mixed.sum(axis=-1), 1)
