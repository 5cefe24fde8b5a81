"""Every learner's direction against what it claims to be the gradient of."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from helpers import drawn
from hypothesis import given
from hypothesis import strategies as st

from bomrl_theory.adapt.adapt import ADAPTING, adapt, algorithm_named
from bomrl_theory.errors import UnknownName
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.meta.hypergradient import hypergradient
from bomrl_theory.meta.learner import Data, learner_named, learners
from bomrl_theory.meta.learners import promp
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.policy import from_log_weights
from bomrl_theory.verify.random_cases import random_family

CLIMBERS = [name for name, learner in learners().items() if learner.collect and learner.gradient]
seeds = st.integers(0, 10_000)


def data_for(name: str, family: TaskFamily, lam: float = 0.7, algorithm: str | None = None) -> Data:
    algorithm = algorithm or (learner_named(name).algorithms or ("kl-posterior",))[0]
    return Data(Solved(family), algorithm_named(algorithm), lam)


def test_every_learner_is_found() -> None:
    expected = "barycentre bo-mrl bo-mrl-first-order e-maml fomaml imaml joint maml optimum promp random reptile"
    assert sorted(learners()) == expected.split()
    for name, learner in learners().items():
        assert learner.name == name
        assert sum(part is not None for part in (learner.collect, learner.start, learner.reference)) == 1
    with pytest.raises(UnknownName, match="did you mean"):
        learner_named("mamml")


@pytest.mark.parametrize("away", [0.0, 0.3], ids=["where data are collected", "away from there"])
@pytest.mark.parametrize("name", CLIMBERS)
@given(seed=seeds)
def test_direction_is_the_gradient_of_the_objective(name: str, away: float, seed: int) -> None:
    """By central differences of fourth order, along the gradient and along a random direction.

    ProMP's clipping has kinks near where its data are collected, which only small differences stay clear of.
    """
    h, precision = (1e-6, 1e-4) if name == "promp" else (1e-3, 1e-6)
    rng = np.random.default_rng(seed)
    data = data_for(name, random_family(rng))
    shape = data.solved.family.states, data.solved.family.actions
    anchor = rng.normal(size=shape)
    collect = learner_named(name).collect
    assert collect is not None
    surrogate = collect(data, anchor)
    theta = anchor + away * rng.normal(size=shape)
    found = surrogate(theta).direction
    size = float(np.linalg.norm(found))
    assert np.abs(found.sum(axis=-1)).max() <= 1e-9 * (1 + size)

    def value(x: Array) -> float:
        objective = surrogate(x).objective
        assert objective is not None
        return objective

    scale = 1 + abs(value(theta))
    for u in (found / size if size > 0 else found, rng.normal(size=shape)):
        slopes = [(value(theta + k * u) - value(theta - k * u)) / (2 * k) for k in (h, 2 * h)]
        estimate = (4 * slopes[0] - slopes[1]) / 3
        slope = float((found * u).sum())
        assert slope == pytest.approx(estimate, rel=precision, abs=precision / 10 * (scale + size))


@given(seed=seeds)
def test_e_maml_objective_by_enumeration(seed: int) -> None:
    """Every decision's update evaluated as a policy of its own, without the rank-one formula."""
    rng = np.random.default_rng(seed)
    data = data_for("e-maml", random_family(rng))
    family = data.solved.family
    theta = rng.normal(size=(family.states, family.actions))
    total = 0.0
    with FLOATS.activated():
        phi = data.solved.evaluate(from_log_weights(theta), FLOATS)
        for s in range(family.states):
            for a in range(family.actions):
                step = data.alpha / (1 - float(family.gamma)) * phi.advantage[:, s, a, None]
                logits = np.broadcast_to(theta, phi.pi.shape).copy()
                logits[:, s] += step * (np.eye(family.actions)[a] - phi.pi[:, s])
                J = Evaluation.of(phi.model, from_log_weights(logits)).J
                total += float((phi.model.w * phi.nu[:, s] * phi.pi[:, s, a] * J).sum())
    collect = learner_named("e-maml").collect
    assert collect is not None
    assert collect(data, theta)(theta).objective == pytest.approx(total, rel=1e-9, abs=1e-9)


def test_e_maml_is_not_maml_but_its_mean_step_is() -> None:
    """With a small step both objectives agree to first order in alpha; with a large one they differ."""
    family = drawn("garnet:states=6,actions=3,tasks=3")
    theta = np.random.default_rng(0).normal(size=(6, 3))

    def values(lam: float) -> tuple[float, float, float]:
        objectives = []
        for name in ("e-maml", "maml"):
            collect = learner_named(name).collect
            assert collect is not None
            objectives.append(collect(data_for(name, family, lam), theta)(theta).objective)
        return objectives[0], objectives[1], hypergradient(Solved(family), theta, "none").value

    one, other, still = values(1e3)
    assert one - still == pytest.approx(other - still, rel=0.02)
    one, other, _ = values(0.02)
    assert abs(one - other) > 1e-3


@given(seed=seeds)
def test_promp_at_its_anchor(seed: int) -> None:
    """The surrogate's first part is zero there (a mean advantage), and its direction is MAML's on a bandit.

    In a bandit nothing moves ``nu``, and with ``<pi, A> = 0`` the missing part of the Hessian is that of ``V``.
    """
    rng = np.random.default_rng(seed)
    data = data_for("promp", random_family(rng))
    theta = rng.normal(size=(data.solved.family.states, data.solved.family.actions))
    assert promp.collect(data, theta)(theta).objective == pytest.approx(
        0, abs=1e-9 * (1 + np.abs(data.solved.family.r).max())
    )
    bandit = TaskFamily.new(np.ones((2, 1, 3, 1)), rng.normal(size=(2, 1, 3)), Fraction(1, 2), [1])
    data = data_for("promp", bandit)
    theta = rng.normal(size=(1, 3))
    maml = hypergradient(data.solved, theta, "policy-gradient", data.lam).gradient
    assert np.allclose(promp.collect(data, theta)(theta).direction, maml, rtol=1e-9, atol=1e-12)


def test_promp_clips() -> None:
    """Far from where it was collected nothing more is gained."""
    family = TaskFamily.new(np.ones((1, 1, 2, 1)), [[[0, 1]]], 0, [1])
    data = data_for("promp", family, lam=50.0)
    surrogate = promp.collect(data, np.zeros((1, 2)))
    near, far = surrogate(np.array([[0.0, 0.2]])), surrogate(np.array([[0.0, 3.0]]))
    penalty_only = promp.PENALTY * (np.array([[0.5, 0.5]]) - from_log_weights(np.array([[0.0, 3.0]])))
    assert near.direction[0, 1] > 0.1
    assert np.allclose(far.direction, penalty_only, rtol=0.5)
    assert far.direction[0, 1] < 0


@pytest.mark.parametrize("algorithm", ADAPTING)
def test_reptile_is_the_mean_of_adapted_logits(algorithm: str) -> None:
    family = drawn("garnet:states=5,actions=3,tasks=4")
    theta = np.random.default_rng(1).normal(size=(5, 3))
    data = data_for("reptile", family, 0.3, algorithm)
    collect = learner_named("reptile").collect
    assert collect is not None
    found = collect(data, theta)(theta)
    plus = np.log(adapt(family, from_log_weights(theta), algorithm, 0.3).policies[-1])
    change = plus - theta
    expected = (change - change.mean(axis=-1, keepdims=True)).mean(axis=0)
    assert np.allclose(found.direction, expected, atol=1e-12)
    assert found.objective is None


def test_first_order_variants_are_the_named_hypergradients() -> None:
    family = drawn("garnet:states=5,actions=3,tasks=4")
    theta = np.random.default_rng(1).normal(size=(5, 3))
    for name, algorithm, method in (
        ("bo-mrl-first-order", "kl-posterior", "first-order"),
        ("fomaml", "policy-gradient", "first-order"),
        ("imaml", "euclidean", "implicit"),
        ("maml", "policy-gradient", "exact"),
    ):
        data = data_for(name, family)
        collect = learner_named(name).collect
        assert collect is not None
        expected = hypergradient(data.solved, theta, algorithm, data.lam, method=method).gradient
        assert np.array_equal(collect(data, theta)(theta).direction, expected)


def test_untrained_learners() -> None:
    solved = Solved(drawn("garnet:states=5,actions=3,tasks=4"))
    start = learner_named("random").start
    closed = learner_named("barycentre").start
    reference = learner_named("optimum").reference
    assert start is not None
    assert closed is not None
    assert reference is not None
    assert np.array_equal(start(solved, np.random.default_rng(3)), start(solved, np.random.default_rng(3)))
    policy = from_log_weights(closed(solved, np.random.default_rng(0)))
    assert np.allclose(policy, barycentre(solved.family, solved.optimum), rtol=1e-12)
    with FLOATS.activated():
        J = Evaluation.of(solved.model(FLOATS), reference(solved)).J
        assert np.allclose(J, solved.star(FLOATS).J, rtol=1e-13)
