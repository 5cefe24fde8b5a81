"""Optima on a device: the exact value is within the bounds, which are those of the host."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from exact_reference import exact_optimum, hard_families, q  # noqa: E402

from bomrl_theory.errors import InvalidTask  # noqa: E402
from bomrl_theory.exact import device  # noqa: E402
from bomrl_theory.exact.enclose import certified_optimum, enclose_optimum  # noqa: E402
from bomrl_theory.tasks.family import TaskFamily  # noqa: E402
from bomrl_theory.tasks.garnet import garnet  # noqa: E402

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"))


@pytest.fixture(params=["cpu", CUDA])
def place(request: pytest.FixtureRequest) -> str:
    return request.param


def encloses(family: TaskFamily, low: np.ndarray, high: np.ndarray, actions: np.ndarray) -> bool:
    """Whether V* in rationals lies between the bounds, at every state of every task."""
    for task, start, below, above in zip(family, actions, low, high, strict=True):
        for value, least, most in zip(exact_optimum(task, start.astype(int)), below, above, strict=True):
            if (np.isfinite(least) and value < q(least)) or (np.isfinite(most) and value > q(most)):
                return False
    return True


def test_the_exact_optimum_is_within_the_bounds_and_the_host_finds_the_same(place: str) -> None:
    seen = 0
    for name, family in hard_families(np.random.default_rng(3), states=5, tasks=3):
        found, host = device.certified_optimum_on(place, family), certified_optimum(family)
        assert encloses(family, found.bounds.low, found.bounds.high, found.actions), name
        assert found.status == host.status, name
        known = np.isfinite(host.bounds.radius)
        assert (np.isfinite(found.bounds.radius) == known).all(), name
        assert (found.bounds.radius[known] <= 4 * host.bounds.radius[known] + 1e-300).all(), name
        seen += int(known.sum())
    assert seen > 100


@pytest.mark.parametrize("gamma", [Fraction(0), Fraction(1, 3), Fraction(999, 1000)])
def test_bounds_around_a_wrong_guess_hold_and_tighter_ones_do_not(place: str, gamma: Fraction) -> None:
    """V off by 0.01 everywhere, where the theorem is sharp: the bounds enclose, and 0.99 of their distance does not."""
    family = garnet(tasks=4, states=6, actions=3, branching=2, gamma=gamma, rng=np.random.default_rng(5))
    optimum = certified_optimum(family)
    for off in (0.01, -0.01):
        guess = optimum.V + off
        W, r, V = (torch.tensor(x, device=place) for x in (family.P, family.r, guess))
        low, high = (x.numpy(force=True) for x in device.bounds(W, r, gamma, V))
        assert encloses(family, low, high, optimum.actions)
        assert not encloses(family, guess + 0.99 * (low - guess), guess + 0.99 * (high - guess), optimum.actions)
        host = enclose_optimum(family, guess)
        np.testing.assert_allclose(low, host.low, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(high, host.high, rtol=1e-12, atol=1e-12)


def test_pieces_and_rounds_change_nothing(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = garnet(tasks=300, rng=np.random.default_rng(0))
    whole, host = device.certified_optimum_on(place, family), certified_optimum(family)
    assert (whole.actions == host.actions).all()
    assert whole.iterations == host.iterations
    np.testing.assert_allclose(whole.V, host.V, rtol=1e-13)
    assert whole.bounds.radius.max() < 1e-12
    monkeypatch.setattr(device, "ENTRIES", 7 * 16 * 4 * 16)
    pieces = device.certified_optimum_on(place, family)
    assert (pieces.actions == whole.actions).all()
    assert pieces.backend == "torch"


def test_a_cap_on_iterations_stops_and_the_bounds_hold(place: str) -> None:
    family = garnet(tasks=20, states=4, rng=np.random.default_rng(1))
    found = device.certified_optimum_on(place, family, maximum_iterations=1)
    assert found.status == "stopped"
    assert found.bounds.radius.max() > 0.01
    assert encloses(family, found.bounds.low, found.bounds.high, found.actions)


def test_a_device_that_is_not_here_is_refused() -> None:
    family = garnet(tasks=1, rng=np.random.default_rng(0))
    for name in ("abacus", "cuda:99", "meta"):
        with pytest.raises(InvalidTask, match=f"there is no device '{name}' for doubles here"):
            device.certified_optimum_on(name, family)


def test_arithmetic_without_subnormal_numbers_is_refused() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers")
    try:
        with pytest.raises(ArithmeticError, match="flushes subnormal numbers"):
            device.device_named("cpu")
    finally:
        torch.set_flush_denormal(False)
