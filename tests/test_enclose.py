"""Certified enclosures of values against exact rationals: never excluded, and as narrow as promised."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact_reference import exact_optimum, exact_value, hard_families, q

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact import kernels
from bomrl_theory.exact import solve as solve_module
from bomrl_theory.exact.enclose import (
    Bounds,
    PairBounds,
    certified_optimum,
    enclose_optimum,
    enclose_value,
    refine_optimum,
    refine_value,
)
from bomrl_theory.exact.solve import policy_iteration
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet

BACKENDS = ["numpy", pytest.param("numba", marks=pytest.mark.skipif(kernels.backend() == "numpy", reason="no numba"))]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(kernels, "backend", lambda: request.param)
    return request.param


def excluded(exact: list, bounds: Bounds) -> int:
    """How many exact values lie outside their bounds."""
    count = 0
    for value, low, high in zip(exact, bounds.low.tolist(), bounds.high.tolist(), strict=True):
        count += (np.isfinite(low) and q(low) > value) or (np.isfinite(high) and q(high) < value)
        assert not np.isnan(low)
        assert not np.isnan(high)
    return count


def excluded_pair(exact: list, pair: PairBounds) -> int:
    count = 0
    for value, head, tail, radius in zip(exact, pair.head, pair.tail, pair.radius, strict=True):
        count += bool(np.isfinite(radius)) and abs(value - q(head) - q(tail)) > q(radius)
        assert not np.isnan(radius)
    return count


def of_task(bounds: Bounds, task: int) -> Bounds:
    return Bounds(bounds.low[task], bounds.high[task])


def pair_of_task(pair: PairBounds, task: int) -> PairBounds:
    return PairBounds(pair.head[task], pair.tail[task], pair.radius[task])


def check(family: TaskFamily, V: np.ndarray, tasks: range | None = None) -> int:
    """All enclosures of one family against exact rationals; how many were checked."""
    rng = np.random.default_rng(1)
    policy = rng.integers(0, family.actions, family.r.shape[:-1])
    optimum, value = enclose_optimum(family, V), enclose_value(family, policy, V)
    weights = np.eye(family.actions)[policy]
    mixed = enclose_value(family, weights, V)
    pairs = [refine_optimum(family, V, refinements=k) for k in (0, 1, 2)]
    value_pairs = [refine_value(family, policy, V, refinements=k) for k in (0, 1)]
    J = optimum.average(family.rho)
    found = certified_optimum(family)
    checked = 0
    for task in tasks or range(family.tasks):
        star = exact_optimum(family[task], found.actions[task])
        pi = exact_value(family[task], policy[task])
        for exact, bounds in ((star, optimum), (star, found.bounds), (pi, value), (pi, mixed)):
            assert excluded(exact, of_task(bounds, task)) == 0
        for exact, pairs_of in ((star, pairs), (pi, value_pairs)):
            for pair in pairs_of:
                assert excluded_pair(exact, pair_of_task(pair, task)) == 0
                assert excluded(exact, of_task(pair.bounds, task)) == 0
        rho = [q(x) for x in family.rho[task]]
        mean = sum((x * v for x, v in zip(rho, star, strict=True)), q(0)) / sum(rho, q(0))
        assert excluded([mean], Bounds(J.low[task : task + 1], J.high[task : task + 1])) == 0
        checked += len(star)
    return checked


@pytest.mark.parametrize("states", [1, 2, 3, 4, 6])
def test_no_exact_value_is_ever_excluded(states: int, backend: str) -> None:
    rng = np.random.default_rng(states)
    checked = 0
    for _, family in hard_families(rng, states, 4):
        with np.errstate(all="ignore"):
            solution = policy_iteration(family).V
        for V in (solution, np.zeros_like(solution), solution * (1 + 1e-7), np.nan_to_num(solution) + 1e-9):
            checked += check(family, V)
    assert checked >= 18 * 4 * 4 * states


def test_a_sample_of_sixteen_states(backend: str) -> None:
    for _, family in hard_families(np.random.default_rng(7), 16, 1):
        with np.errstate(all="ignore"):
            check(family, policy_iteration(family).V)
    check(garnet(tasks=20, rng=np.random.default_rng(8)), np.zeros((20, 16)) + 5.0)


def test_widths_on_ordinary_garnets(backend: str) -> None:
    family = garnet(tasks=200, rng=np.random.default_rng(0))
    found = certified_optimum(family)
    assert found.status == "converged"
    assert found.bounds.radius.max() < 3e-13
    assert enclose_optimum(family, found.V).radius.max() < 3e-13
    assert np.median(refine_optimum(family, found.V, refinements=0).radius) < 3e-14
    refined = refine_optimum(family, found.V)
    assert refined.radius.max() < 1e-26
    # The same tasks in both: the intervals must meet.
    assert np.all(refined.bounds.low <= found.bounds.high)
    assert np.all(refined.bounds.high >= found.bounds.low)


def test_narrowed_enclosures_are_caught() -> None:
    """Power: bounds cut to a tenth of their width fail the very check that real bounds pass."""
    family = garnet(states=4, tasks=50, rng=np.random.default_rng(3))
    V = certified_optimum(family).V + 1e-3 * np.random.default_rng(4).random((50, 4))
    bounds = enclose_optimum(family, V)
    pair = refine_optimum(family, certified_optimum(family).V)
    narrow = Bounds(bounds.mid - 0.1 * bounds.radius, bounds.mid + 0.1 * bounds.radius)
    narrowed = PairBounds(pair.head, pair.tail, pair.radius * 0)
    caught, caught_pairs = 0, 0
    for task in range(family.tasks):
        star = exact_optimum(family[task], np.zeros(4, dtype=int))
        caught += excluded(star, of_task(narrow, task))
        caught_pairs += excluded_pair(star, pair_of_task(narrowed, task))
    assert caught > 0
    assert caught_pairs > 100


def test_rounding_terms_are_needed() -> None:
    """Power: MacQueen's bounds without the rounding error do exclude exact values."""
    family = garnet(states=6, tasks=50, rng=np.random.default_rng(5))
    V = certified_optimum(family).V
    P = family.P / family.P.sum(-1, keepdims=True)
    change = (family.r + 0.9 * np.einsum("tsan,tn->tsa", P, V)).max(-1) - V
    naive = Bounds(V + change.min(-1, keepdims=True) / 0.1, V + change.max(-1, keepdims=True) / 0.1)
    caught = sum(
        excluded(exact_optimum(family[task], np.zeros(6, dtype=int)), of_task(naive, task)) for task in range(50)
    )
    assert caught > 0


@pytest.mark.skipif(kernels.backend() == "numpy", reason="no numba")
def test_kernels_agree_with_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solve_module, "COMPILED_TASKS", 1)
    for name, family in hard_families(np.random.default_rng(11), 6, 5):
        if name in ("gamma close to 1", "huge rewards", "near ties"):
            continue  # actions tie within rounding, and where an iteration starts decides between them
        compiled = policy_iteration(family)
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "backend", lambda: "numpy")
            with np.errstate(all="ignore"):
                plain = policy_iteration(family)
        assert (compiled.backend, plain.backend) == ("numba", "numpy")
        assert compiled.status == plain.status == "converged"
        assert np.array_equal(compiled.actions, plain.actions), name
        scale = np.abs(plain.V).max() + 1e-300
        assert np.abs(compiled.V - plain.V).max() <= 1e-12 * scale / (1 - float(family.gamma)), name


def test_overflow_gives_infinite_bounds(backend: str) -> None:
    family = garnet(states=3, branching=2, tasks=2, rng=np.random.default_rng(0))
    for V in (np.full((2, 3), np.nan), np.full((2, 3), np.inf), np.array([[0.0, np.nan, 0.0]] * 2)):
        bounds, pair = enclose_optimum(family, V), refine_optimum(family, V)
        assert np.all(bounds.low == -np.inf)
        assert np.all(bounds.high == np.inf)
        assert np.all(pair.radius == np.inf)


def test_wrong_shapes_are_named() -> None:
    family = garnet(states=3, branching=2, tasks=2, rng=np.random.default_rng(0))
    with pytest.raises(InvalidTask, match=r"V has shape \[3\]"):
        enclose_optimum(family, np.zeros(3))
    with pytest.raises(InvalidTask, match="policy has shape"):
        enclose_value(family, np.zeros(3), np.zeros((2, 3)))


def test_one_task_without_a_batch() -> None:
    task = garnet(states=3, branching=2, tasks=1, gamma=Fraction(1, 2), rng=np.random.default_rng(0))[0]
    assert excluded(exact_optimum(task, np.zeros(3, dtype=int)), enclose_optimum(task, np.ones(3))) == 0
