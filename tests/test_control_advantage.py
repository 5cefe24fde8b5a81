"""Advantages from trajectories, against sums written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="continuous control needs the extra torch")

import torch

from bomrl_theory.control.advantage import (
    advantages,
    baseline,
    discounted_returns,
    discounted_sums,
    features,
    past_sums,
    standardised,
)
from bomrl_theory.control.batch import Batch

GAMMA = 0.9


@pytest.fixture
def batch() -> Batch:
    """Three tasks whose trajectories end at different times."""
    generator = torch.Generator().manual_seed(0)
    tasks, trajectories, horizon = 3, 5, 12

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(tasks, trajectories, *size, generator=generator, dtype=torch.float64)

    ends = torch.randint(3, horizon + 1, (tasks, trajectories, 1), generator=generator)
    alive = torch.arange(horizon) < ends
    return Batch(normal(horizon + 1, 2), normal(horizon, 1), normal(horizon) * alive, alive, normal(horizon))


def test_returns_are_sums_to_the_end(batch: Batch) -> None:
    """Written out for every step."""
    found = discounted_returns(batch, GAMMA)
    for t in range(batch.rewards.shape[-1]):
        powers = GAMMA ** torch.arange(batch.rewards.shape[-1] - t, dtype=torch.float64)
        torch.testing.assert_close(found[..., t], (batch.rewards[..., t:] * powers).sum(-1))


def test_past_sums_are_strictly_before(batch: Batch) -> None:
    """``sum_{s<t} gamma^(t-s) x_s``, and the transpose of the sum over what comes strictly after."""
    x, y = batch.rewards, batch.log_density
    found = past_sums(x, GAMMA)
    for t in range(x.shape[-1]):
        powers = GAMMA ** (t - torch.arange(t, dtype=torch.float64))
        torch.testing.assert_close(found[..., t], (x[..., :t] * powers).sum(-1))
    torch.testing.assert_close((found * y).sum(), (x * (discounted_sums(y, GAMMA) - y)).sum())


def test_baseline_is_the_least_squares_fit(batch: Batch) -> None:
    """numpy's answer on the steps that were taken, up to the ridge, task by task; far closer than any other's."""
    returns = discounted_returns(batch, GAMMA)
    found = baseline(batch, returns)
    for task in range(batch.tasks):
        taken = batch.alive[task]
        design, target = features(batch)[task][taken].numpy(), returns[task][taken].numpy()
        fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
        np.testing.assert_allclose(found[task][taken].numpy(), fitted, atol=0.05 * np.abs(target).max())
        assert (
            np.abs(found[task][taken].numpy() - target).mean() > 5 * np.abs(found[task][taken].numpy() - fitted).mean()
        )
        assert bool((found[task][~taken] == 0).all())


@pytest.mark.parametrize("gae", [0.0, 0.7, 1.0])
def test_generalised_advantages(batch: Batch, gae: float) -> None:
    """The exponentially weighted sum of temporal differences, which ends where the trajectory does."""
    values = baseline(batch, discounted_returns(batch, GAMMA))
    found = advantages(batch, GAMMA, gae)
    for place in np.ndindex(*batch.rewards.shape[:2]):
        length = int(batch.alive[place].sum())
        v = [*values[place][:length].tolist(), 0.0]
        differences = [float(batch.rewards[place][t]) + GAMMA * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):
            wanted = sum((GAMMA * gae) ** (k - t) * differences[k] for k in range(t, length))
            assert float(found[place][t]) == pytest.approx(wanted, abs=1e-12)
        assert bool((found[place][length:] == 0).all())


def test_gae_one_is_return_minus_baseline(batch: Batch) -> None:
    """The temporal differences telescope."""
    returns = discounted_returns(batch, GAMMA)
    wanted = (returns - baseline(batch, returns)) * batch.alive
    torch.testing.assert_close(advantages(batch, GAMMA), wanted)


def test_what_follows_the_end_counts_nothing(batch: Batch) -> None:
    """Other observations there, the same advantages."""
    ended = torch.nn.functional.pad(~batch.alive, (0, 1), value=True)[..., None]
    other = replace(batch, observations=torch.where(ended, 1e3, batch.observations))
    torch.testing.assert_close(advantages(other, GAMMA, 0.9), advantages(batch, GAMMA, 0.9))


def test_failure_is_told_from_the_horizon(batch: Batch) -> None:
    """The last step before the end, and none in a trajectory that lasted."""
    for place in np.ndindex(*batch.rewards.shape[:2]):
        length = int(batch.alive[place].sum())
        wanted = [length - 1] if length < batch.rewards.shape[-1] else []
        assert batch.failed[place].nonzero().flatten().tolist() == wanted


def test_standardised(batch: Batch) -> None:
    """Mean 0 and standard deviation 1 over the steps that were taken; equal advantages become 0, not NaN."""
    found = standardised(advantages(batch, GAMMA), batch.alive)
    for task in range(batch.tasks):
        taken = found[task][batch.alive[task]]
        assert float(taken.mean()) == pytest.approx(0, abs=1e-12)
        assert float(taken.std(correction=0)) == pytest.approx(1, abs=1e-12)
    same = standardised(torch.full_like(batch.rewards, 3.0), batch.alive)
    assert bool((same == 0).all())


def test_single_precision(batch: Batch) -> None:
    """float32 in, float32 out, near the answer of float64."""
    floats = {name: x.float() for name, x in vars(batch).items() if x is not None and x.is_floating_point()}
    single = replace(batch, **floats)
    found = advantages(single, GAMMA)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), advantages(batch, GAMMA), rtol=1e-3, atol=1e-3)
