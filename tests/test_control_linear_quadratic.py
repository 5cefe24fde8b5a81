"""The simulator of linear-quadratic tasks, the linear-Gaussian policy and the exact map, against each other."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="continuous control needs the extra torch")

import torch
from control_helpers import GAMMA, collect, plants, timid
from torch.distributions import MultivariateNormal, kl_divergence

from bomrl_theory.control.critic import QuadraticValues, symmetric
from bomrl_theory.control.exact_linear_quadratic import (
    ExactInnerProblem,
    return_gradient,
    returns,
    second_moment,
)
from bomrl_theory.control.linear_gaussian import LinearGaussian
from bomrl_theory.control.lower_level import LowerLevel, adapt, collected
from bomrl_theory.control.policy import GaussianNetwork, Policy
from bomrl_theory.control.policy_gradient import policy_gradient
from bomrl_theory.control.simulator import Simulator
from bomrl_theory.errors import InvalidTask
from bomrl_theory.linear_quadratic.closed_form import adapted, evaluate


def standard_errors(samples: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """How many standard errors the mean over the second axis is off."""
    return ((samples.mean(1) - wanted) / (samples.std(1) / samples.shape[1] ** 0.5)).abs()


def test_returns_of_trajectories_are_the_closed_form() -> None:
    """Discounted sums of rewards, within sampling error of J; and not of another policy's J."""
    simulator = plants(horizon=120)
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 120 * 2000, np.random.default_rng(0))
    sums = (batch.rewards * GAMMA ** torch.arange(120, dtype=torch.float64)).sum(-1)
    wanted = returns(simulator.model, policy, phi.expand(2, -1))
    assert float(standard_errors(sums, wanted).max()) < 4
    assert float(standard_errors(sums, 1.1 * wanted).min()) > 4
    assert batch.finite.all()
    assert batch.alive.all()


def test_second_moment_is_that_of_the_visitation() -> None:
    """The closed form against ``(1-gamma) sum gamma^t E x_t x_t'`` propagated step by step, and against samples."""
    simulator = plants(horizon=120)
    policy, phi = timid(simulator)
    model, theta = simulator.model, phi.expand(2, -1)
    known = evaluate(model, *policy.gain_and_covariance(theta))
    found = second_moment(model, known)
    F, moment, total = model.A - model.B @ known.K, model.start_moment, torch.zeros_like(found)
    for t in range(400):
        total = total + (1 - GAMMA) * GAMMA**t * moment
        moment = F @ moment @ F.mT + model.W + model.B @ known.Sigma @ model.B.mT
    torch.testing.assert_close(found, total, rtol=1e-10, atol=1e-12)
    batch = collect(simulator, policy, phi, 120 * 2000, np.random.default_rng(1))
    weights = collected(policy, phi, batch, LowerLevel(gamma=GAMMA)).weights
    torch.testing.assert_close(weights.sum((1, 2)), torch.ones(2, dtype=torch.float64))
    x = batch.observations[..., :-1, :]
    trajectories = (weights[..., None, None] * x[..., :, None] * x[..., None, :]).sum(2) * x.shape[1]
    assert float(standard_errors(trajectories, found).max()) < 4.5


def test_values_without_noise_in_the_dynamics_are_exact() -> None:
    """Then a thousand steps determine Q^phi: H_ux and H_uu by least squares are the closed form's to rounding."""
    simulator = plants(noise=0.0)
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 1000, np.random.default_rng(0))
    critic = QuadraticValues(collected(policy, phi, batch, LowerLevel(gamma=GAMMA)))
    known = evaluate(simulator.model, *policy.gain_and_covariance(phi.expand(2, -1)))
    W = -symmetric(critic.coefficients)
    torch.testing.assert_close(W[:, 5:, 5:], known.H_uu, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(W[:, 5:, 1:5], known.H_ux, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(W[:, 0, 0], known.c_Q, rtol=1e-6, atol=1e-6)
    # So Alg^(2) is exact too, whatever states were visited.
    lower = LowerLevel("kl-posterior", 0.5, gamma=GAMMA, tolerance=1e-9)
    gain, covariance = policy.gain_and_covariance(adapt(policy, phi, batch, lower).theta)
    wanted = adapted(known.K, known.Sigma, known.H_ux, known.H_uu, 0.5)
    torch.testing.assert_close(gain, wanted[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(covariance, wanted[1], rtol=1e-5, atol=1e-6)


def test_exact_adaptation_is_the_closed_form() -> None:
    """Alg^(2): the best linear-Gaussian policy on average over states is the best in every state."""
    simulator = plants()
    policy, phi = timid(simulator)
    known = evaluate(simulator.model, *policy.gain_and_covariance(phi.expand(2, -1)))
    problem = ExactInnerProblem.of(simulator.model, policy, phi, LowerLevel("kl-posterior", 0.5))
    gain, covariance = policy.gain_and_covariance(problem.adapt())
    wanted = adapted(known.K, known.Sigma, known.H_ux, known.H_uu, 0.5)
    torch.testing.assert_close(gain, wanted[0], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(covariance, wanted[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("critic", "tolerance"), [("quadratic-values", 0.03), ("importance", 0.15)])
def test_policy_gradient_is_that_of_the_closed_form(critic: str, tolerance: float) -> None:
    """Estimated from a batch, in size too."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 100_000, np.random.default_rng(0))
    found = policy_gradient(policy, phi, batch, LowerLevel(gamma=GAMMA, critic=critic))
    wanted = return_gradient(simulator.model, policy, phi.expand(2, -1))
    assert float((found - wanted).norm() / wanted.norm()) < tolerance


def test_parameters_of_gain_and_covariance() -> None:
    """There and back, and the distribution, the actions and the moments agree."""
    policy = LinearGaussian(3, 2)
    generator = torch.Generator().manual_seed(0)
    gain = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    root = torch.randn(4, 2, 2, generator=generator, dtype=torch.float64)
    covariance = root @ root.mT + 0.1 * torch.eye(2)
    theta = policy.parameters_of(gain, covariance)
    assert theta.shape == (4, policy.parameters)
    for found, wanted in zip(policy.gain_and_covariance(theta), (gain, covariance), strict=True):
        torch.testing.assert_close(found, wanted)
    x = torch.randn(4, 7, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(4, 7, 2, generator=generator, dtype=torch.float64)
    actions = policy.act(theta, x, noise)
    torch.testing.assert_close(policy.gaussian(theta, x).whitened(actions), noise)


@pytest.mark.parametrize("policy", [LinearGaussian(3, 2), GaussianNetwork(3, 2, (5,))], ids=["linear", "network"])
def test_densities_and_divergences_are_those_of_torch(policy: LinearGaussian | GaussianNetwork) -> None:
    """The moments' formulas against torch.distributions."""
    generator = torch.Generator().manual_seed(1)
    p, q = torch.randn(2, 4, policy.parameters, generator=generator, dtype=torch.float64) / 2
    x = torch.randn(4, 7, 3, generator=generator, dtype=torch.float64)
    u = torch.randn(4, 7, 2, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(policy.gaussian(p, x).log_density(u), policy.distribution(p, x).log_prob(u))
    first, second = (
        MultivariateNormal(g.mean, scale_tril=g.factor[:, None]) for g in (policy.gaussian(p, x), policy.gaussian(q, x))
    )
    torch.testing.assert_close(policy.gaussian(p, x).kl(policy.gaussian(q, x)), kl_divergence(first, second))
    assert isinstance(policy, Policy)


def test_a_batch_tells_its_densities() -> None:
    """``log_density`` is that of the policy that drew the actions, of each task its own."""
    simulator = plants()
    policy, phi = timid(simulator)
    theta = torch.stack([phi, phi + 0.1])
    batch = collect(simulator, policy, theta, 500, np.random.default_rng(0))
    data = collected(policy, theta, batch, LowerLevel())
    torch.testing.assert_close(data.of_parameters(theta).log_density(data.actions), batch.log_density.flatten(1))


def test_tasks_and_description() -> None:
    """Tasks are drawn by weight and reproducibly; the description is JSON; a horizon of 0 is refused."""
    simulator = plants(tasks=3)
    simulator = replace(simulator, model=replace(simulator.model, weights=torch.tensor([0.0, 0.25, 0.75])))
    tasks = simulator.draw_tasks(1000, np.random.default_rng(0))
    assert tasks.shape == (1000, 1)
    assert np.bincount(tasks[:, 0], minlength=3)[0] == 0
    assert np.bincount(tasks[:, 0])[2] / 1000 == pytest.approx(0.75, abs=0.05)
    assert np.array_equal(tasks, simulator.draw_tasks(1000, np.random.default_rng(0)))
    assert json.loads(json.dumps(simulator.describe()))["horizon"] == 50
    assert isinstance(simulator, Simulator)
    assert simulator.to("cpu", torch.float32).model.A.dtype == torch.float32
    with pytest.raises(InvalidTask, match="horizon = 0"):
        replace(simulator, horizon=0)


def test_same_seed_same_trajectories() -> None:
    """And another seed others."""
    simulator = plants()
    policy, phi = timid(simulator)
    first, second, other = (collect(simulator, policy, phi, 200, np.random.default_rng(s)) for s in (0, 0, 1))
    assert torch.equal(first.observations, second.observations)
    assert not torch.equal(first.observations, other.observations)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; none here")
def test_same_numbers_on_a_gpu() -> None:
    """Trajectories and adapted parameters to 1e-6 in float64."""
    simulator = plants()
    policy, phi = timid(simulator)
    there = simulator.to("cuda")
    lower = LowerLevel("kl-posterior", 0.5, gamma=GAMMA, tolerance=1e-9)
    results = []
    for place, start in ((simulator, phi), (there, phi.cuda())):
        batch = collect(place, policy, start, 5000, np.random.default_rng(0))
        results.append((batch.rewards.cpu(), adapt(policy, start, batch, lower).theta.cpu()))
    for here, away in zip(*results, strict=True):
        torch.testing.assert_close(away, here, rtol=1e-6, atol=1e-6)
