"""The hypergradient of sampled adaptation against the exact map, and against finite differences of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import root_scalar

pytest.importorskip("torch", reason="continuous control needs the extra torch")

import torch
from control_helpers import GAMMA, collect, cosine, locomotion_like, plants, timid
from torch import Tensor

from bomrl_theory.control.ascent import maximise
from bomrl_theory.control.exact_linear_quadratic import ExactInnerProblem, meta_objective, return_gradient
from bomrl_theory.control.hypergradient import PARTS, hypergradient
from bomrl_theory.control.inner_problem import InnerProblem
from bomrl_theory.control.lower_level import ALGORITHMS, LowerLevel, adapt
from bomrl_theory.control.policy import GaussianNetwork
from bomrl_theory.control.policy_gradient import policy_gradient
from bomrl_theory.errors import InvalidTask, UnknownName


def central(f: Callable[[Tensor], Tensor], at: Tensor, direction: Tensor, step: float) -> Tensor:
    """The derivative along a direction, of fourth order."""
    near = f(at + step * direction) - f(at - step * direction)
    far = f(at + 2 * step * direction) - f(at - 2 * step * direction)
    return (8 * near - far) / (12 * step)


@pytest.mark.parametrize("mu", [0.0, 0.1])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_oracle_is_the_derivative_of_the_whole_map(algorithm: str, mu: float) -> None:
    """Implicit differentiation against finite differences of F, 1e-6; every part is needed for that."""
    simulator = plants()
    policy, phi = timid(simulator)
    lower = LowerLevel(algorithm, 0.5, mu=mu)
    problem = ExactInnerProblem.of(simulator.model, policy, phi, lower)
    theta = problem.adapt()
    outer = return_gradient(simulator.model, policy, theta)

    directions = torch.randn(3, policy.parameters, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def along(*parts: str) -> Tensor:
        return directions @ (simulator.model.weights @ problem.hypergradient(theta, outer, parts))

    wanted = torch.stack(
        [central(lambda p: meta_objective(simulator.model, policy, p, lower), phi, d, 1e-3) for d in directions]
    )
    size = float(wanted.norm())
    assert float((along(*PARTS) - wanted).norm()) < 1e-6 * size
    torch.testing.assert_close(torch.stack([along(part) for part in PARTS]).sum(0), along(*PARTS))
    assert float((along("direct") - wanted).norm()) > 0.05 * size
    # In every state Alg^(2)'s maximiser is stationary by itself, so that the visitation does not matter.
    matters = algorithm != "kl-posterior" or mu > 0
    assert (float((along("direct", "values") - wanted).norm()) > 1e-4 * size) == matters


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_sampled_is_the_exact_direction(algorithm: str) -> None:
    """1e5 samples before and as many after adaptation: cosine beyond 0.99; frozen data point elsewhere for Alg^(2)."""
    simulator = plants()
    policy, phi = timid(simulator)
    model, rng = simulator.model, np.random.default_rng(0)
    lower = LowerLevel(algorithm, 0.3, gamma=GAMMA)
    batch = collect(simulator, policy, phi, 100_000, rng)
    adapted = adapt(policy, phi, batch, lower)
    outer = policy_gradient(policy, adapted.theta, collect(simulator, policy, adapted.theta, 100_000, rng), lower)
    full = hypergradient(policy, phi, batch, adapted, outer, model.weights)
    frozen = hypergradient(policy, phi, batch, adapted, outer, model.weights, parts=("direct",))
    problem = ExactInnerProblem.of(model, policy, phi, lower)
    theta = problem.adapt()
    exact = model.weights @ problem.hypergradient(theta, return_gradient(model, policy, theta))
    assert full.status == ("solved", "solved")
    assert cosine(full.gradient, exact) > 0.99
    assert float((full.gradient - exact).norm() / exact.norm()) < 0.05
    assert cosine(frozen.gradient, exact) < cosine(full.gradient, exact) - 0.01
    if algorithm == "kl-posterior":
        assert cosine(frozen.gradient, exact) < 0.9
    torch.testing.assert_close(model.weights @ full.per_task, full.gradient)


@pytest.mark.parametrize("critic", ["quadratic-values", "quadratic-advantage", "importance"])
def test_three_parts_are_unbiased(critic: str) -> None:
    """Over batches each part's mean is the exact part within sampling error, which would show any part left out."""
    simulator = plants(states=2, actions=1, tasks=1, horizon=40, noise=0.05)
    policy, phi = timid(simulator)
    model, rng = simulator.model, np.random.default_rng(0)
    lower = LowerLevel("euclidean", 2.0, gamma=GAMMA, critic=critic, tolerance=1e-5)
    errors: dict[str, list[Tensor]] = {part: [] for part in PARTS}
    exact: dict[str, Tensor] = {}
    for _ in range(14):
        batch = collect(simulator, policy, phi, 6000, rng)
        adapted = adapt(policy, phi, batch, lower)
        problem = ExactInnerProblem(model, policy, phi[None], "euclidean", 2.0 * adapted.problem.critic.unit)
        theta = problem.adapt()
        outer = return_gradient(model, policy, theta)
        for part in PARTS:
            exact[part] = problem.hypergradient(theta, outer, (part,))[0]
            found = hypergradient(policy, phi, batch, adapted, outer, parts=(part,), tolerance=1e-8)
            errors[part].append(found.gradient - exact[part])
    size = float(torch.stack([*exact.values()]).sum(0).norm())
    for part in PARTS:
        samples = torch.stack(errors[part])
        deviation = samples.std(0) / len(samples) ** 0.5 + 1e-9 * size
        off = (samples.mean(0) / deviation).abs()
        assert float(off.max()) < 4.5, (part, off)
        assert float((exact[part] / deviation).abs().max()) > 4.5, f"{part} would not be missed"


@pytest.fixture(scope="module")
def network() -> tuple[GaussianNetwork, Tensor]:
    """A small network with a cheetah's sizes."""
    policy = GaussianNetwork(17, 6, (4,))
    return policy, policy.start(torch.Generator().manual_seed(0))


def frozen_maximiser(problem: InnerProblem, phi: Tensor, start: Tensor) -> Tensor:
    """The adapted parameters if the prior were phi, with everything that was estimated from the batch unchanged."""

    def value(theta: Tensor) -> Tensor:
        prior = problem.collected.of_parameters(phi.expand_as(theta))
        expected = (problem.at_steps(theta, prior) * problem.collected.weights.flatten(1)).sum(-1)
        return expected - problem.pull * (theta - phi).square().sum(-1)

    def value_and_gradient(theta: Tensor) -> tuple[Tensor, Tensor]:
        theta = theta.detach().requires_grad_()
        at = value(theta)
        return at.detach(), torch.autograd.grad(at.sum(), theta)[0]

    return maximise(
        value_and_gradient,
        start,
        target=lambda norm: torch.full_like(norm, 1e-11),
        product=problem.curvature(start),
        steps=300,
    ).theta


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_networks_against_frozen_finite_differences(algorithm: str, network: tuple[GaussianNetwork, Tensor]) -> None:
    """The direct part on one batch, 1e-5. It says nothing about the other two."""
    policy, phi = network
    batch = locomotion_like(policy, phi)
    lower = LowerLevel(
        algorithm, 3.0, mu=0.1, critic="quadratic-advantage", visitation="uniform", tolerance=1e-9, steps=500
    )
    adapted = adapt(policy, phi, batch, lower)
    generator = torch.Generator().manual_seed(1)
    outer, (direction, _) = torch.randn(2, 2, policy.parameters, generator=generator, dtype=torch.float64)
    found = hypergradient(policy, phi, batch, adapted, outer, parts=("direct",), tolerance=1e-10, steps=500)
    assert found.status == ("solved", "solved")
    moved = central(
        lambda p: (frozen_maximiser(adapted.problem, p, adapted.theta) * outer).sum() / 2, phi, direction, 1e-3
    )
    assert float(found.gradient @ direction) == pytest.approx(float(moved), rel=1e-5)
    whole = hypergradient(policy, phi, batch, adapted, outer, tolerance=1e-10, steps=500)
    assert cosine(whole.gradient, found.gradient) < 0.999


def test_on_the_trust_region_lambda_moves_too() -> None:
    """The bordered system against finite differences of the problem with a radius, on frozen data."""
    simulator = plants(tasks=1, states=2)
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 500, np.random.default_rng(0))
    lower = LowerLevel("kl-posterior", 0.3, gamma=GAMMA, tolerance=1e-9, radius=0.05, radius_tolerance=1e-9, steps=500)
    adapted = adapt(policy, phi, batch, lower)
    assert adapted.on_radius.tolist() == [True]
    outer = torch.randn(1, policy.parameters, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def constrained(prior: Tensor) -> Tensor:
        def maximiser(lam: float) -> Tensor:
            return frozen_maximiser(
                replace(adapted.problem, lam=torch.full_like(adapted.lam, lam)), prior, adapted.theta
            )

        def excess(lam: float) -> float:
            data = adapted.problem.collected
            kl = data.of_parameters(maximiser(lam)).kl(data.of_parameters(prior[None]))
            return float((kl * data.weights.flatten(1)).sum()) - 0.05

        lam = float(adapted.lam[0])
        found = root_scalar(excess, bracket=(lam / 1.5, 1.5 * lam), xtol=1e-13, rtol=1e-13)
        return (maximiser(found.root) * outer).sum()

    found = hypergradient(policy, phi, batch, adapted, outer, parts=("direct",), tolerance=1e-10)
    penalised = hypergradient(
        policy, phi, batch, replace(adapted, on_radius=~adapted.on_radius), outer, parts=("direct",), tolerance=1e-10
    )
    direction = torch.randn(policy.parameters, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    wanted = float(central(constrained, phi, direction, 1e-3))
    assert float(found.gradient @ direction) == pytest.approx(wanted, rel=1e-5)
    assert float(penalised.gradient @ direction) != pytest.approx(wanted, rel=1e-2)


def test_each_task_stops_by_itself_and_says_what_is_left() -> None:
    """Residuals below the tolerance task by task; with one step, truncated and its residual."""
    simulator = plants(tasks=3)
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 2000, np.random.default_rng(0))
    adapted = adapt(policy, phi, batch, LowerLevel("kl-posterior", 0.5, gamma=GAMMA, tolerance=1e-8))
    outer = torch.ones(3, policy.parameters, dtype=torch.float64)
    outer[1] = 0
    found = hypergradient(policy, phi, batch, adapted, outer, tolerance=1e-6)
    assert found.status == ("solved",) * 3
    assert found.steps[1] == 0
    assert bool((found.per_task[1] == 0).all())
    assert bool((found.residual <= 1e-6).all())
    assert bool((found.curvature[[0, 2]] > 0).all())
    short = hypergradient(policy, phi, batch, adapted, outer, tolerance=1e-6, steps=1)
    assert short.status == ("truncated", "solved", "truncated")
    assert float(short.residual[0]) > 1e-3


def test_points_that_are_not_stationary_are_flagged() -> None:
    """A truncated inner solve spoils the gradient, and the status says so."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 2000, np.random.default_rng(0))
    lower = LowerLevel("kl-posterior", 0.3, gamma=GAMMA, tolerance=1e-6)
    outer = torch.ones(2, policy.parameters, dtype=torch.float64)
    good = hypergradient(policy, phi, batch, adapt(policy, phi, batch, lower), outer)
    cut = hypergradient(policy, phi, batch, adapt(policy, phi, batch, replace(lower, steps=2)), outer)
    assert good.status == ("solved", "solved")
    assert cut.status == ("truncated", "truncated")
    assert float((cut.gradient - good.gradient).norm() / good.gradient.norm()) > 0.05


def test_indefinite_and_broken_tasks_are_left_out() -> None:
    """Their part of the gradient is zero, their status says why, and the other tasks' is untouched."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 2000, np.random.default_rng(0))
    outer = torch.ones(2, policy.parameters, dtype=torch.float64)
    # The second task is rewarded for what costs, so that phi is no maximum of its problem.
    rewards = batch.rewards * torch.tensor([1.0, -1.0])[:, None, None]
    mixed = replace(batch, rewards=rewards)
    lower = LowerLevel("kl-posterior", 0.01, gamma=GAMMA, tolerance=1e-6)
    adapted = adapt(policy, phi, mixed, lower)
    claimed = replace(adapted, theta=torch.stack([adapted.theta[0], phi]), status=("solved", "solved"))
    found = hypergradient(policy, phi, mixed, claimed, outer, tolerance=1e-6)
    assert found.status == ("solved", "indefinite")
    assert bool((found.per_task[1] == 0).all())
    assert bool(found.gradient.isfinite().all())
    torch.testing.assert_close(found.gradient, found.per_task[0] / 2)
    broken = outer.clone()
    broken[1, 3] = torch.nan
    for method in ("implicit", "first-order"):
        told = hypergradient(policy, phi, mixed, claimed, broken, method=method, tolerance=1e-6)
        assert told.status == ("solved", "not finite")
        assert bool(told.gradient.isfinite().all())


def test_data_that_are_not_finite_leave_the_task_out() -> None:
    """From the batch to the hypergradient."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 2000, np.random.default_rng(0))
    rewards = batch.rewards.clone()
    rewards[0, 0, 0] = torch.inf
    broken = replace(batch, rewards=rewards)
    adapted = adapt(policy, phi, broken, LowerLevel("kl-posterior", 0.5, gamma=GAMMA))
    outer = torch.ones(2, policy.parameters, dtype=torch.float64)
    found = hypergradient(policy, phi, broken, adapted, outer)
    assert found.status == ("not finite", "solved")
    assert bool((found.per_task[0] == 0).all())
    whole = hypergradient(policy, phi, batch, adapt(policy, phi, batch, LowerLevel(lam=0.5, gamma=GAMMA)), outer)
    torch.testing.assert_close(found.per_task[1], whole.per_task[1], rtol=1e-4, atol=1e-6)


def test_first_order_takes_the_outer_gradient() -> None:
    """Averaged with the weights."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 500, np.random.default_rng(0))
    adapted = adapt(policy, phi, batch, LowerLevel(gamma=GAMMA))
    outer = torch.randn(2, policy.parameters, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.tensor([0.25, 0.75], dtype=torch.float64)
    found = hypergradient(policy, phi, batch, adapted, outer, weights, method="first-order")
    torch.testing.assert_close(found.gradient, weights @ outer)


def test_what_does_not_belong_together_is_refused() -> None:
    """Another batch, another phi, an unknown method or part."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch, other = (collect(simulator, policy, phi, 500, np.random.default_rng(s)) for s in (0, 1))
    adapted = adapt(policy, phi, batch, LowerLevel(gamma=GAMMA))
    outer = torch.ones(2, policy.parameters, dtype=torch.float64)
    with pytest.raises(InvalidTask, match="another batch"):
        hypergradient(policy, phi, other, adapted, outer)
    with pytest.raises(InvalidTask, match="another batch"):
        hypergradient(policy, phi + 1, batch, adapted, outer)
    with pytest.raises(UnknownName, match="did you mean implicit"):
        hypergradient(policy, phi, batch, adapted, outer, method="implicitly")
    with pytest.raises(UnknownName, match="did you mean values"):
        hypergradient(policy, phi, batch, adapted, outer, parts=("value",))
