"""Meta-learners on sampled tasks: their gradients against hand-made ones, and that each of them learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="continuous control needs the extra torch")

import torch
from point_mass import PointMass
from torch.distributions import Distribution, Independent, Normal

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.config import Config
from bomrl_theory.control.divergence import Fisher, mean_kl
from bomrl_theory.control.gradient_learner import Experience, TrustRegionLearner
from bomrl_theory.control.learner import learner_named, learners, stacked
from bomrl_theory.control.learners.promp import ProMP
from bomrl_theory.control.policy import GaussianNetwork
from bomrl_theory.control.policy_gradient_step import PolicyGradientStep, Surrogate
from bomrl_theory.control.problem import Problem
from bomrl_theory.control.samples import Samples
from bomrl_theory.control.train import Trainer
from bomrl_theory.control.trust_region import trust_region_step
from bomrl_theory.errors import UnknownName

ALPHA = 0.3


class Shift(GaussianNetwork):
    """``a ~ N(theta, 1)`` whatever is observed: all derivatives are known."""

    def __init__(self) -> None:
        super().__init__(1, 1, ())
        self.parameters = 1

    def distribution(self, theta: torch.Tensor, observations: torch.Tensor) -> Distribution:
        mean = theta.unsqueeze(1).expand(*observations.shape[:2], 1)
        return Independent(Normal(mean, torch.ones_like(mean)), 1)


SHIFT = Shift()


def small(learner: str = "maml", **settings: Any) -> Problem:
    """A point mass with a small network in float64."""
    values = {"tasks": 3, "trajectories": 4, "hidden": (4,), "precision": "float64", "algorithm": "policy-gradient"}
    return Problem.new(PointMass(5), Config(learner=learner, **(values | settings)))


def drawn(theta: torch.Tensor, rng: np.random.Generator) -> Samples:
    """Seven samples a task of the shift policy with advantages that are not standardised."""
    tasks, size = len(theta), 7
    actions = theta.unsqueeze(1) + torch.from_numpy(rng.standard_normal((tasks, size, 1)))
    density = SHIFT.distribution(theta, actions).log_prob(actions)
    advantages = torch.from_numpy(rng.standard_normal((tasks, size)))
    return Samples(
        torch.zeros_like(actions),
        actions,
        density,
        advantages,
        torch.full((tasks, size), 1 / size, dtype=torch.float64),
    )


def shifted(surrogate: Surrogate) -> tuple[Problem, Experience, torch.Tensor]:
    """The shift policy's problem, and data of three tasks before and after their steps from 0.2."""
    rng = np.random.default_rng(1)
    problem = replace(small(alpha=ALPHA), policy=SHIFT)
    phi = torch.full((1, 1), 0.2, dtype=torch.float64)
    inner = drawn(stacked(phi, 3), rng)
    step = PolicyGradientStep(SHIFT, stacked(phi, 3), inner, ALPHA, surrogate)
    rewards = torch.tensor([[[1.0], [3.0]], [[0.0], [0.0]], [[5.0], [4.0]]]).double()
    after = Batch(torch.zeros(3, 2, 2, 1), rewards.unsqueeze(-1), rewards, rewards < torch.inf, rewards)
    return problem, Experience(after, after, inner, drawn(step.adapted, rng), step), phi


# --- gradients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["maml", "e-maml"])
def test_second_order_gradient_against_finite_differences(name: str) -> None:
    """The chain rule on a frozen batch is the derivative of the objective on it, in every direction that is tried."""
    problem, rng = small(), np.random.default_rng(0)
    learner = learner_named(name)
    assert isinstance(learner, TrustRegionLearner)
    phi = learner.begin(problem, rng)[0]
    experience = Experience.collect(problem, phi, rng, "log-likelihood")
    gradient = learner.gradient(problem, experience, phi)
    first_order = experience.step.gradient  # what a forgotten second derivative would not notice
    assert float(first_order.norm()) > 0.1
    for _ in range(5):
        direction = torch.from_numpy(rng.standard_normal(phi.shape))
        direction /= direction.norm()
        ahead, behind = (
            float(learner.objective(problem, experience, phi + sign * 1e-5 * direction)[0]) for sign in (1, -1)
        )
        assert float((gradient * direction).sum()) == pytest.approx((ahead - behind) / 2e-5, abs=1e-8)


def test_maml_by_hand() -> None:
    """``(1 - alpha mean A) mean A'(a' - theta+)``: the log-likelihood's second derivative is -mean A."""
    problem, data, phi = shifted("log-likelihood")
    inner, outer = data.inner, data.outer
    A, a = inner.advantages.numpy(), inner.actions.numpy()[..., 0]
    theta = 0.2 + ALPHA * (A * (a - 0.2)).mean(1)
    g = (outer.advantages.numpy() * (outer.actions.numpy()[..., 0] - theta[:, None])).mean(1)
    expected = ((1 - ALPHA * A.mean(1)) * g).mean()
    learner = learner_named("maml")
    assert isinstance(learner, TrustRegionLearner)
    assert np.allclose(data.step.adapted.numpy()[:, 0], theta, rtol=1e-12)
    assert float(learner.gradient(problem, data, phi)) == pytest.approx(expected, rel=1e-12)
    # E-MAML adds the standardised return of each task times the mean score of the data before.
    returns = np.array([2.0, 0.0, 4.5])
    credit = (returns - returns.mean()) / returns.std()
    explored = expected + (credit * (a - 0.2).mean(1)).mean()
    learner = learner_named("e-maml")
    assert isinstance(learner, TrustRegionLearner)
    assert float(learner.gradient(problem, data, phi)) == pytest.approx(explored, rel=1e-7)


@pytest.mark.parametrize("phi_now", [0.2, 0.5])
def test_promp_by_hand(phi_now: float) -> None:
    """Ratio inside, clipping outside and the penalty, at the parameters of the data and away from them."""
    problem, data, phi = shifted("likelihood-ratio")
    learner, eta = learner_named("promp"), 0.7
    assert isinstance(learner, ProMP)
    now = torch.full_like(phi, phi_now)
    step = PolicyGradientStep(SHIFT, stacked(now, 3), data.inner, ALPHA, "likelihood-ratio")
    found = float(learner.gradient(problem, data, phi, now, step, eta))
    A, a = data.inner.advantages.numpy(), data.inner.actions.numpy()[..., 0]
    ratio = np.exp(((a - 0.2) ** 2 - (a - phi_now) ** 2) / 2)
    theta = phi_now + ALPHA * (A * ratio * (a - phi_now)).mean(1)
    slope = 1 + ALPHA * (A * ratio * ((a - phi_now) ** 2 - 1)).mean(1)
    A2, a2 = data.outer.advantages.numpy(), data.outer.actions.numpy()[..., 0]
    old = data.step.adapted.numpy()
    r = np.exp(((a2 - old) ** 2 - (a2 - theta[:, None]) ** 2) / 2)
    cut = np.where(A2 > 0, r > 1 + learner.clip, r < 1 - learner.clip)
    assert cut.any() == (phi_now != 0.2)
    g = np.where(cut, 0, A2 * r * (a2 - theta[:, None])).mean(1)
    assert found == pytest.approx((slope * g).mean() - eta * (phi_now - 0.2), rel=1e-12)


def test_fisher_is_the_curvature_of_the_divergence() -> None:
    policy, rng = GaussianNetwork(3, 2, (4,)), np.random.default_rng(0)
    theta = stacked(policy.start(torch.Generator().manual_seed(0)).unsqueeze(0), 2)
    x = torch.from_numpy(rng.standard_normal((2, 10, 3)))
    weights = torch.full((2, 10), 0.1).double()
    weights[1, 5:] = 0
    weights[1] /= weights[1].sum()
    samples = Samples(x, torch.zeros(2, 10, 2), torch.zeros(2, 10), torch.zeros(2, 10), weights)
    v = torch.from_numpy(rng.standard_normal(theta.shape))
    product = Fisher(policy, theta, samples).product(v)
    quadratic = 2 * mean_kl(policy, theta, theta + 1e-4 * v, samples) / 1e-8
    assert torch.allclose((v * product).sum(-1), quadratic, rtol=1e-3)
    # What comes after a trajectory's end has no say.
    x[1, 5:] = 1e6
    assert torch.equal(Fisher(policy, theta, samples).product(v), product)
    thin = samples.thinned(3)
    assert torch.allclose(thin.weights.sum(1), torch.ones(2).double())


# --- the trust region ---------------------------------------------------------------------------


def quadratic(rng: np.random.Generator, problems: int = 4, size: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    root = torch.from_numpy(rng.standard_normal((problems, size, size)))
    return root @ root.mT + torch.eye(size).double(), torch.from_numpy(rng.standard_normal((problems, size)))


def test_trust_region_step_is_the_natural_gradient() -> None:
    """A linear objective in an ellipsoid: the step ends where the objective is largest, for every problem."""
    matrix, gradient = quadratic(np.random.default_rng(0))
    start, radius = torch.ones_like(gradient), 0.02

    def product(v: torch.Tensor) -> torch.Tensor:
        return (matrix @ v.unsqueeze(-1)).squeeze(-1)

    def measure(trial: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moved = trial - start
        return (moved * gradient).sum(-1), (moved * product(moved)).sum(-1) / 2

    taken = trust_region_step(start, gradient, product, measure, radius)
    natural = torch.linalg.solve(matrix, gradient)
    best = natural * (2 * radius / (natural * gradient).sum(-1, keepdim=True)).sqrt()
    assert torch.allclose(taken.parameters - start, best, rtol=1e-3, atol=1e-6)
    assert bool((taken.kl <= radius).all())
    assert bool((taken.kl > 0.99 * radius).all())
    assert bool((taken.fraction == 1).all())


def test_trust_region_backtracks_each_problem_by_itself() -> None:
    """True divergences grow faster than the model; one objective never gains, one is not a number."""
    matrix, gradient = quadratic(np.random.default_rng(1))
    start, radius = torch.zeros_like(gradient), 0.02

    def product(v: torch.Tensor) -> torch.Tensor:
        return (matrix @ v.unsqueeze(-1)).squeeze(-1)

    def measure(trial: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        model = (trial * product(trial)).sum(-1) / 2
        gain = (trial * gradient).sum(-1)
        gain[2], gain[3] = -gain[2], torch.nan
        return gain, model * torch.tensor([1.0, 3.0, 1.0, 1.0])

    taken = trust_region_step(start, gradient, product, measure, radius)
    assert taken.fraction[0] == 1
    assert 0.5 < taken.fraction[1] < 0.58  # the first power of 0.8 below 1/sqrt(3)
    assert torch.equal(taken.fraction[2:], torch.zeros(2).double())
    assert torch.equal(taken.parameters[2:], start[2:])
    assert bool((taken.kl <= radius).all())
    nothing = trust_region_step(start, gradient * torch.nan, product, measure, radius)
    assert torch.equal(nothing.parameters, start)


@pytest.mark.parametrize("name", ["maml", "e-maml", "bo-mrl", "bo-mrl-first-order", "per-task"])
def test_steps_stay_within_the_radius(name: str) -> None:
    problem = Trainer(PointMass(), Config(learner=name, tasks=4, trajectories=4, hidden=(4,), radius=1e-3)).problem
    rng, learner = np.random.default_rng(0), learner_named(name)
    phi, memory = learner.begin(problem, rng)
    for _ in range(3):
        made = learner.iterate(problem, phi, memory, rng)
        assert made.kl is not None
        assert made.status.startswith("stepped")
        assert 1e-4 < made.kl <= 1e-3
        phi, memory = made.phi, made.memory


# --- learning -----------------------------------------------------------------------------------

GAINS = {"maml": 2, "e-maml": 2, "promp": 1, "bo-mrl": 2, "bo-mrl-first-order": 2, "per-task": 2}
"""By how much the return after adaptation, about -10 at first, rises at least within 25 iterations."""


@pytest.mark.parametrize("name", learners())
def test_every_learner_learns(name: str) -> None:
    """Return after adaptation, mean of the last iterations against that of a new network."""
    trainer = Trainer(PointMass(), Config(learner=name, tasks=10, trajectories=10, hidden=(16,), iterations=25))
    rng = np.random.default_rng(0)
    state, log = trainer.begin(rng), []
    for record, following in trainer.run(state, rng):
        log.append(record)
        state = following
    assert state.status == "finished"
    if not trainer.learner.trained:
        assert (len(log), log[0].status) == (1, "measured")
        assert log[0].return_after > log[0].return_before
        return
    gain = np.mean([record.return_after for record in log[-5:]]) - log[0].return_after
    assert gain > GAINS[name]
    if trainer.learner.meta:
        assert np.mean([r.return_after - r.return_before for r in log[-5:]]) > 0.5


@pytest.mark.parametrize("algorithm", ["kl-prior", "kl-posterior", "euclidean"])
def test_lambda_is_steered_to_the_divergence(algorithm: str) -> None:
    """After some iterations adaptation moves about as far as asked; a given lambda stays."""
    config = Config(tasks=10, trajectories=10, hidden=(16,), iterations=10, algorithm=algorithm, divergence=0.05)
    rng = np.random.default_rng(0)
    trainer = Trainer(PointMass(), config)
    *_, (record, state) = trainer.run(trainer.begin(rng), rng)
    assert record.adaptation_kl is not None
    assert 0.02 < record.adaptation_kl < 0.12
    assert record.status == "stepped"
    given = Trainer(PointMass(), replace(config, lam=3.0, iterations=2))
    *_, (_, state) = given.run(given.begin(rng), rng)
    assert float(state.memory["lam"]) == 3.0


def test_promp_steers_its_penalty() -> None:
    """Halved where the step was short of the target, doubled where it was beyond."""
    for rate, factor in ((1e-5, 0.5), (0.1, 2.0)):
        learner, problem = replace(learner_named("promp"), rate=rate), small("promp")
        rng = np.random.default_rng(0)
        phi, memory = learner.begin(problem, rng)
        after = learner.iterate(problem, phi, memory, rng).memory
        assert float(after["penalty"]) == factor * float(memory["penalty"])
        assert int(after["steps"]) == 5


def test_unknown_learner() -> None:
    with pytest.raises(UnknownName, match="did you mean promp"):
        learner_named("prompt")


def test_standardised_samples() -> None:
    """Every task has advantages of mean 0 and variance 1 over the steps that were taken."""
    problem, rng = small(), np.random.default_rng(0)
    tasks = problem.draw_tasks(rng)
    batch: Batch = problem.rollout(stacked(problem.start(rng).unsqueeze(0), 3), tasks, rng)
    alive = batch.alive.clone()
    alive[1, 2, 3:] = False
    samples = problem.samples(replace(batch, alive=alive, rewards=batch.rewards * alive))
    one = torch.ones(3).double()
    assert torch.allclose(samples.mean(samples.advantages), 0 * one, atol=1e-12)
    assert torch.allclose(samples.mean(samples.advantages**2), one)
    assert torch.allclose(samples.weights.sum(1), one)
    assert bool((samples.weights.flatten(1)[~alive.flatten(1)] == 0).all())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("name", ["maml", "promp", "bo-mrl", "per-task"])
def test_same_numbers_on_a_gpu(name: str) -> None:
    """Two iterations in float64 on both devices."""
    ends = []
    for device in ("cpu", "cuda"):
        config = Config(
            learner=name, tasks=4, trajectories=5, hidden=(8,), iterations=2, precision="float64", device=device
        )
        trainer, rng = Trainer(PointMass(), config), np.random.default_rng(0)
        *_, (_, state) = trainer.run(trainer.begin(rng), rng)
        ends.append(state.phi.cpu())
    assert torch.allclose(*ends, atol=1e-6)
