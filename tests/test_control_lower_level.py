"""Adaptation on one batch: solved where it says so, and told where not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="continuous control needs the extra torch")

import torch
from control_helpers import GAMMA, collect, locomotion_like, plants, timid

from bomrl_theory.control.conjugate_gradient import conjugate_gradient
from bomrl_theory.control.exact_linear_quadratic import ExactInnerProblem, returns
from bomrl_theory.control.lower_level import ALGORITHMS, LowerLevel, adapt, inner_problem, lambda_for
from bomrl_theory.control.policy import GaussianNetwork
from bomrl_theory.control.quadrature import condensed
from bomrl_theory.errors import InvalidTask, UnknownName

LOCOMOTION = LowerLevel("kl-posterior", 1.0, mu=0.1, critic="quadratic-advantage", visitation="uniform")


@pytest.fixture(scope="module")
def network() -> tuple[GaussianNetwork, torch.Tensor]:
    """A small network with a cheetah's sizes."""
    policy = GaussianNetwork(17, 6, (16,))
    return policy, policy.start(torch.Generator().manual_seed(0))


@pytest.mark.parametrize("seed", range(3))
def test_sampled_adaptation_reaches_the_closed_form(seed: int) -> None:
    """Alg^(2) with 1e5 samples: within 1 % of the closed form's return; phi's own is not."""
    simulator = plants(seed, tasks=1)
    policy, phi = timid(simulator)
    lower = LowerLevel("kl-posterior", 0.3, gamma=GAMMA)
    batch = collect(simulator, policy, phi, 100_000, np.random.default_rng(seed))
    adapted = adapt(policy, phi, batch, lower)
    assert adapted.status == ("solved",)
    found = returns(simulator.model, policy, adapted.theta)
    best = returns(simulator.model, policy, ExactInnerProblem.of(simulator.model, policy, phi, lower).adapt())
    before = returns(simulator.model, policy, phi[None])
    assert float((found / best - 1).abs()) < 0.01
    assert float((before / best - 1).abs()) > 0.1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_solved_means_stationary(algorithm: str) -> None:
    """The gradient that is reported is that of the objective, which has grown and whose curvature is positive."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 2000, np.random.default_rng(0))
    adapted = adapt(policy, phi, batch, LowerLevel(algorithm, 1.0, gamma=GAMMA, tolerance=1e-8, lanczos=12))
    assert adapted.status == ("solved", "solved")
    value, gradient = adapted.problem.value_and_gradient(adapted.theta)
    torch.testing.assert_close(gradient.norm(dim=-1), adapted.gradient_norm)
    assert bool((adapted.gradient_norm <= 1e-7 * adapted.start_norm).all())
    assert bool((value > adapted.problem.objective(adapted.problem.collected.phi)).all())
    product = adapted.problem.curvature(adapted.theta)
    rows = torch.eye(policy.parameters, dtype=torch.float64)
    hessian = torch.stack([product(row.expand(2, -1)) for row in rows], dim=-1)
    least = torch.linalg.eigvalsh(hessian)[:, 0]
    torch.testing.assert_close(adapted.curvature, least, rtol=1e-6, atol=1e-8)
    assert bool((adapted.kl > 0).all())


def test_tasks_do_not_touch_each_other() -> None:
    """The first task alone comes to the same, also beside one whose data are NaN, which is told."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 2000, np.random.default_rng(0))
    lower = LowerLevel("kl-prior", 1.0, gamma=GAMMA, tolerance=1e-8)
    together = adapt(policy, phi, batch, lower)
    rewards = batch.rewards.clone()
    rewards[1, 3, 7] = torch.nan
    broken = adapt(policy, phi, replace(batch, rewards=rewards), lower)
    assert together.status == ("solved", "solved")
    assert broken.status == ("solved", "not finite")
    torch.testing.assert_close(broken.theta[0], together.theta[0], rtol=1e-6, atol=1e-8)
    assert bool(broken.theta[1].isnan().all())


@pytest.mark.parametrize("critic", ["quadratic-values", "quadratic-advantage", "importance"])
def test_every_critic_survives_a_broken_task(critic: str) -> None:
    """Infinite observations of one task, a solution for the other."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 1000, np.random.default_rng(0))
    observations = batch.observations.clone()
    observations[0, 0, 5:] = torch.inf
    adapted = adapt(
        policy, phi, replace(batch, observations=observations), LowerLevel("euclidean", 1.0, critic=critic, gamma=GAMMA)
    )
    assert adapted.status == ("not finite", "solved")


def test_a_truncated_solve_says_so() -> None:
    """Two steps of the optimiser are not enough, and the gradient left is reported."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 2000, np.random.default_rng(0))
    adapted = adapt(policy, phi, batch, LowerLevel("kl-posterior", 0.3, gamma=GAMMA, steps=2))
    assert adapted.status == ("truncated", "truncated")
    assert bool((adapted.gradient_norm > 1e-3 * adapted.start_norm).all())
    assert adapted.steps.tolist() == [2, 2]


def test_a_point_without_maximum_is_not_called_solved() -> None:
    """Rewarded for large actions and states, with a small lambda, the objective has no maximum."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 2000, np.random.default_rng(0))
    upside_down = replace(batch, rewards=-batch.rewards)
    adapted = adapt(policy, phi, upside_down, LowerLevel("kl-posterior", 0.01, gamma=GAMMA, steps=60))
    assert "solved" not in adapted.status
    flat = LowerLevel("kl-posterior", 0.01, gamma=GAMMA, tolerance=2.0, lanczos=12)
    assert adapt(policy, phi, upside_down, flat).status == ("indefinite", "indefinite")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_trust_region(algorithm: str) -> None:
    """Tasks beyond the radius are brought onto it by a larger lambda; with a wide radius nothing changes."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 2000, np.random.default_rng(0))
    free = LowerLevel(algorithm, 1.0, gamma=GAMMA, tolerance=1e-5)
    without = adapt(policy, phi, batch, free)
    radius = float(without.kl.mean())
    assert float(without.kl.min()) < radius < float(without.kl.max())
    within = adapt(policy, phi, batch, replace(free, radius=radius, radius_tolerance=1e-4))
    inside = without.kl <= radius
    assert within.status == ("solved", "solved")
    assert within.on_radius.tolist() == (~inside).tolist()
    torch.testing.assert_close(within.kl[~inside], torch.full_like(within.kl[~inside], radius), rtol=1e-4, atol=0)
    assert bool((within.lam[~inside] > 1).all())
    torch.testing.assert_close(within.theta[inside], without.theta[inside], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(within.lam[inside], without.lam[inside])
    wide = adapt(policy, phi, batch, replace(free, radius=1e3))
    assert torch.equal(wide.theta, without.theta)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_lambda_for_a_divergence(algorithm: str, network: tuple[GaussianNetwork, torch.Tensor]) -> None:
    """The mean divergence is the target; an impossible target is refused."""
    policy, phi = network
    batch = locomotion_like(policy, phi)
    lower = replace(LOCOMOTION, algorithm=algorithm)
    lam = lambda_for(0.02, policy, phi, batch, lower)
    adapted = adapt(policy, phi, batch, replace(lower, lam=lam))
    assert float(adapted.kl.mean()) == pytest.approx(0.02, rel=0.02)
    assert set(adapted.status) == {"solved"}
    with pytest.raises(InvalidTask, match="target -1"):
        lambda_for(-1.0, policy, phi, batch, lower)


def test_networks_in_single_precision(network: tuple[GaussianNetwork, torch.Tensor]) -> None:
    """float32 solves to its tolerance and lands where float64 does."""
    policy, phi = network
    double = adapt(policy, phi, locomotion_like(policy, phi), LOCOMOTION)
    batch = locomotion_like(policy, phi)
    parts = (x for x in vars(batch).values() if x is not None)
    single = type(batch)(*(x.float() if x.is_floating_point() else x for x in parts))
    found = adapt(policy, phi.float(), single, LOCOMOTION)
    assert found.theta.dtype == torch.float32
    assert found.status == double.status == ("solved", "solved")
    torch.testing.assert_close(found.theta.double(), double.theta, rtol=0, atol=2e-3)


def test_raw_importance_weights_have_no_small_maximum(network: tuple[GaussianNetwork, torch.Tensor]) -> None:
    """Alg^(2) on them runs far away or does not end; the quadratic critic and the proximal term keep it near phi."""
    policy, phi = network
    batch = locomotion_like(policy, phi)
    raw = adapt(policy, phi, batch, replace(LOCOMOTION, mu=0.0, lam=0.1, critic="importance", steps=30))
    kept = adapt(policy, phi, batch, LOCOMOTION)
    assert all(s != "solved" or kl > 5 for s, kl in zip(raw.status, raw.kl.tolist(), strict=True))
    assert set(kept.status) == {"solved"}
    assert float(kept.kl.max()) < 0.5


def test_a_second_step_starts_from_each_tasks_own_policy() -> None:
    """K steps: collect with the adapted policies and adapt again; the return goes on rising."""
    simulator = plants(horizon=20)
    policy, phi = timid(simulator)
    lower = LowerLevel("kl-posterior", 1.0, gamma=GAMMA)
    theta, path = phi.expand(2, -1), []
    for step in range(3):
        batch = collect(simulator, policy, theta, 4000, np.random.default_rng(step))
        theta = adapt(policy, theta, batch, lower).theta
        path.append(returns(simulator.model, policy, theta))
    assert bool((path[1] > path[0]).all())
    assert bool((path[2] > path[1]).all())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"algorithm": "kl-posteriori"}, UnknownName, "did you mean kl-posterior"),
        ({"critic": "quadratic"}, UnknownName, "did you mean quadratic"),
        ({"visitation": "none"}, UnknownName, "unknown visitation"),
        ({"lam": 0.0}, InvalidTask, "lambda = 0.0"),
        ({"lam": float("nan")}, InvalidTask, "lambda = nan"),
        ({"mu": -1.0}, InvalidTask, "mu = -1.0"),
        ({"radius": 0.0}, InvalidTask, "radius = 0.0"),
        ({"gamma": 1.5}, InvalidTask, "gamma = 1.5"),
        ({"steps": 0}, InvalidTask, "steps = 0"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, object], error: type[Exception], words: str) -> None:
    """By name and value."""
    with pytest.raises(error, match=words):
        LowerLevel(**change)  # pyright: ignore[reportArgumentType]


def test_a_meta_policy_that_is_not_finite_is_refused() -> None:
    """It has no batch to adapt on."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 500, np.random.default_rng(0))
    with pytest.raises(InvalidTask, match="not all finite"):
        adapt(policy, torch.full_like(phi, torch.nan), batch, LowerLevel(gamma=GAMMA))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_few_nodes_are_as_good_as_the_batch(algorithm: str) -> None:
    """Linear-Gaussian policies and quadratic values: the same objective and divergence from 2n observations."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 500, np.random.default_rng(0))
    alive = batch.alive.clone()
    alive[0, 0, 10:] = False
    whole = inner_problem(policy, phi, replace(batch, alive=alive), LowerLevel(algorithm, 0.5, mu=0.1, gamma=GAMMA))
    few = condensed(whole)
    theta = phi + 0.3 * torch.randn(2, len(phi), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert few.at_steps(theta).shape == (2, 8)
    torch.testing.assert_close(few.objective(theta), whole.objective(theta))
    torch.testing.assert_close(few.mean_divergence(theta), whole.mean_divergence(theta))
    network = GaussianNetwork(4, 2, (3,))
    start = network.start(torch.Generator().manual_seed(0))
    other = inner_problem(network, start, batch, LowerLevel(gamma=GAMMA))
    assert condensed(other) is other


def test_weights_end_with_the_trajectory() -> None:
    """Steps after a failure weigh nothing, the others what they did."""
    simulator = plants()
    policy, phi = timid(simulator)
    batch = collect(simulator, policy, phi, 500, np.random.default_rng(0))
    alive = batch.alive.clone()
    alive[0, 0, 10:] = False
    short = inner_problem(policy, phi, replace(batch, alive=alive), LowerLevel(gamma=GAMMA)).collected.weights
    whole = inner_problem(policy, phi, batch, LowerLevel(gamma=GAMMA)).collected.weights
    assert bool((short[0, 0, 10:] == 0).all())
    assert torch.equal(short[alive], whole[alive])
    assert float(whole[1, 0, 1] / whole[1, 0, 0]) == pytest.approx(GAMMA)


def test_conjugate_gradients_stop_task_by_task() -> None:
    """Each system takes its own number of steps, and its solution is that of the direct method."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 8, 8, generator=generator, dtype=torch.float64)
    matrices = root @ root.mT + 0.1 * torch.eye(8)
    matrices[0] = 2 * torch.eye(8)
    right = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    found = conjugate_gradient(lambda v: torch.einsum("tij,tj->ti", matrices, v), right, tolerance=1e-10, steps=30)
    torch.testing.assert_close(found.x, torch.linalg.solve(matrices, right), rtol=1e-6, atol=1e-8)
    assert found.steps[0] == 1
    assert bool((found.steps[1:] > 5).all())
    assert bool((found.residual <= 1e-10).all())
    values = torch.linalg.eigvalsh(matrices)
    torch.testing.assert_close(found.least, values[:, 0], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.largest, values[:, -1], rtol=1e-6, atol=1e-8)
    alone = conjugate_gradient(lambda v: v @ matrices[1], right[1:2], tolerance=1e-10, steps=30)
    torch.testing.assert_close(alone.x[0], found.x[1], rtol=1e-9, atol=1e-12)
    assert alone.steps[0] == found.steps[1]


def test_conjugate_gradients_tell_indefinite_from_definite() -> None:
    """A saddle is told; a right side of zeros is solved by zeros; too few steps leave their residual."""
    matrices = torch.diag_embed(torch.tensor([[1.0, 2.0, -1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]))
    right = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])

    def product(v: torch.Tensor) -> torch.Tensor:
        return torch.einsum("tij,tj->ti", matrices, v)

    found = conjugate_gradient(product, right, tolerance=1e-6, steps=2)
    assert found.definite.tolist() == [False, True, True]
    assert bool((found.x[1] == 0).all())
    assert found.residual[1] == 0
    left = (right - product(found.x)).norm(dim=-1) / right.norm(dim=-1).clamp(min=1)
    assert float(found.residual[2]) == pytest.approx(float(left[2]), rel=1e-4)
    assert float(found.residual[2]) > 0.01
