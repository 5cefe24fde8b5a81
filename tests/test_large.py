"""Large tasks: sparse agrees with dense, and every certificate holds in exact rationals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact_reference import exact_optimum, exact_value, hard_families, q
from scipy.sparse import csr_array

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact import kernels
from bomrl_theory.exact.enclose import certified_optimum
from bomrl_theory.exact.large import LargeSolution, solve_large
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.mdp import MDP
from bomrl_theory.tasks.sparse import SparseMDP, slippery_grid, sparse_garnet

BACKENDS = ["numpy", pytest.param("numba", marks=pytest.mark.skipif(kernels.backend() == "numpy", reason="no numba"))]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(kernels, "backend", lambda: request.param)
    return request.param


def sound(task: MDP, found: LargeSolution) -> None:
    """The certificates of a solution, in rationals."""
    policy = found.actions.astype(int)
    star, pi = exact_optimum(task, policy), exact_value(task, policy)
    for state in range(task.states):
        low, high = found.bounds.low[state], found.bounds.high[state]
        assert not np.isfinite(low) or q(low) <= pi[state] <= star[state]
        assert not np.isfinite(high) or star[state] <= q(high)
        assert not np.isfinite(found.suboptimality) or star[state] - pi[state] <= q(found.suboptimality)


@pytest.mark.parametrize("states", [1, 2, 5])
def test_certificates_hold_exactly(states: int, backend: str) -> None:
    for _, family in hard_families(np.random.default_rng(states), states, 2):
        for task in family:
            for version in (task, SparseMDP.of(task)):
                sound(task, solve_large(version, maximum_iterations=200))
                sound(task, solve_large(version, maximum_iterations=1))


def test_sparse_agrees_with_dense_and_with_policy_iteration(backend: str) -> None:
    sparse = sparse_garnet(states=60, branching=4, rng=np.random.default_rng(0))
    dense = sparse.dense()
    one, other = solve_large(sparse), solve_large(dense)
    assert one.status == other.status == "converged"
    assert one.backend == backend
    assert one.suboptimality < 2.1e-8
    assert np.all(one.bounds.low <= other.bounds.high)
    assert np.all(other.bounds.low <= one.bounds.high)
    small = certified_optimum(TaskFamily.of([dense]))
    assert np.abs(one.V - small.V[0]).max() < 1e-8
    assert np.all(small.bounds.low[0] <= one.bounds.high)
    assert np.all(one.bounds.low <= small.bounds.high[0])
    J, J_small = one.bounds.average(sparse.rho), small.bounds.average(dense.rho[None])
    assert J.low <= J_small.high[0]
    assert J_small.low[0] <= J.high
    again = SparseMDP.of(dense)
    assert np.array_equal(again.P.toarray(), sparse.P.toarray())


def test_slow_mixing_grid(backend: str) -> None:
    grid = slippery_grid(side=12, gamma=Fraction(99, 100), rng=np.random.default_rng(1))
    found = solve_large(grid)
    assert found.status == "converged"
    exact = certified_optimum(TaskFamily.of([grid.dense()]))
    assert np.all(exact.bounds.low[0] <= found.bounds.high)
    assert np.all(found.bounds.low <= exact.bounds.high[0])


def test_a_task_of_medium_size_is_certified(backend: str) -> None:
    found = solve_large(sparse_garnet(states=5000, rng=np.random.default_rng(2)))
    assert found.status == "converged"
    assert found.bounds.radius.max() <= 1.1e-8
    assert found.iterations < 20


def test_unreachable_tolerance_stops(backend: str) -> None:
    task = sparse_garnet(states=30, rng=np.random.default_rng(3))
    found = solve_large(task, tolerance=1e-18)
    assert found.status == "stopped"
    sound(task.dense(), found)


def test_kernels_agree_with_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    task = sparse_garnet(states=300, rng=np.random.default_rng(4))
    found = solve_large(task)
    monkeypatch.setattr(kernels, "backend", lambda: "numpy")
    plain = solve_large(task)
    assert np.array_equal(found.actions, plain.actions)
    assert np.abs(found.V - plain.V).max() < 1e-12


def test_a_narrowed_certificate_is_caught() -> None:
    """Power: bounds shrunk to a hundredth around their middle miss the optimum somewhere."""
    caught = 0
    for task in garnet(states=4, tasks=20, rng=np.random.default_rng(5)):
        found = solve_large(task, maximum_iterations=2)
        star = exact_optimum(task, np.zeros(4, dtype=int))
        middle, radius = found.bounds.mid, found.bounds.radius * 0.01
        caught += any(not q(m - w) <= v <= q(m + w) for v, m, w in zip(star, middle, radius, strict=True))
    assert caught > 0


def test_generators() -> None:
    rng = np.random.default_rng(6)
    dense_draw = sparse_garnet(states=6, branching=5, rng=rng)
    assert set(np.diff(dense_draw.P.indptr)) == {5}
    grid = slippery_grid(side=3, slip=0.2, rng=rng).dense()
    assert np.allclose(grid.P.sum(axis=-1), 1)
    assert grid.P[4, 1, 7] == 0.8  # down from the centre
    assert grid.P[4, 1, 3] == grid.P[4, 1, 5] == 0.1
    assert grid.P[0, 0, 0] == pytest.approx(0.9)  # left at the upper left corner: stays, or slips up or down
    for bad in ({"states": 0}, {"states": 3, "branching": 4}):
        with pytest.raises(InvalidTask):
            sparse_garnet(**bad, rng=rng)
    with pytest.raises(InvalidTask, match="slip"):
        slippery_grid(side=2, slip=1.5, rng=rng)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": np.eye(2)}, "not a SciPy sparse array"),
        ({"P": csr_array(np.eye(2))}, r"shape \[2, 2\]"),
        ({"P": csr_array(np.array([[-1.0, 2], [1, 0], [1, 0], [1, 0]]))}, r"P\[s=0, a=0, s'=0\] = -1 is negative"),
        ({"P": csr_array(np.array([[1.0, 0], [np.nan, 0], [1, 0], [1, 0]]))}, r"P\[s=0, a=1, s'=0\] = nan"),
        ({"P": csr_array(np.array([[1.0, 0], [1, 0], [1, 1], [1, 0]]))}, r"P\[s=1, a=0\] sums to 2"),
        ({"P": csr_array((4, 2))}, r"P\[s=0, a=0\] has no successor"),
        ({"gamma": 1}, "outside"),
        ({"rho": [1.0]}, "rho has shape"),
    ],
)
def test_invalid_tasks_are_named(change: dict, message: str) -> None:
    arguments = {"P": csr_array(np.array([[1.0, 0]] * 4)), "r": np.zeros((2, 2)), "gamma": "1/2", "rho": [0.5, 0.5]}
    SparseMDP.new(**arguments)
    with pytest.raises(InvalidTask, match=message):
        SparseMDP.new(**(arguments | change))


def test_repeated_entries_are_refused() -> None:
    P = csr_array((np.array([0.5, 0.5]), np.array([0, 0]), np.array([0, 2])), shape=(1, 1))
    with pytest.raises(InvalidTask, match="sum_duplicates"):
        SparseMDP.new(P, [[1.0]], "1/2", [1.0])
