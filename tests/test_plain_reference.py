"""The plain reference of the benchmarks computes what the package computes, on the same trajectories in float64."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch", reason="continuous control needs the extra torch")
pytest.importorskip("mujoco", reason="the benchmark of locomotion needs the extra mujoco")
pytest.importorskip("gymnasium", reason="the benchmark of locomotion needs the extra mujoco")

from point_mass import PointMass  # noqa: E402  (all need the packages above)

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import meta_iteration  # noqa: E402
from meta_iteration import ALIKE, LEARNERS, differences  # noqa: E402
from plain.bo_mrl import BOMRL, LowerLevel  # noqa: E402
from plain.maml import MAML  # noqa: E402

from bomrl_theory.control.config import Config  # noqa: E402


def found(learner: str) -> dict[str, float]:
    """On a plant so small that ten conjugate gradients solve its trust region: rounding grows along them otherwise."""
    return differences(PointMass(10), Config(learner=learner, tasks=3, trajectories=5, hidden=(), iterations=10**6))


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_reference_agrees(learner: str) -> None:
    values = found(learner)
    assert len(values) == 2
    assert max(values.values()) <= ALIKE


@pytest.mark.parametrize(
    ("learner", "changed"),
    [("maml", {"alpha": 0.101}), ("bo-mrl", {"mu": 0.101}), ("bo-mrl", {"gamma": 0.94}), ("bo-mrl", {"lam": 0.5})],
)
def test_another_number_is_noticed(learner: str, changed: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    method = meta_iteration.plain_method

    def other(*arguments: Any) -> MAML | BOMRL:
        return replace(method(*arguments), **changed)

    monkeypatch.setattr(meta_iteration, "plain_method", other)
    assert found(learner)["gradient"] > 100 * ALIKE


@pytest.mark.parametrize("part", ["_values", "_visits"])
def test_a_missing_part_of_the_hypergradient_is_noticed(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(level: LowerLevel, mean: Any, *_: Any) -> Any:
        return 0 * mean.sum()

    monkeypatch.setattr(LowerLevel, part, nothing)
    values = found("bo-mrl")
    assert values["adaptation"] <= ALIKE < values["gradient"] / 100
