"""What a training run on sampled tasks is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Config:
    """A training run, apart from its simulator and seed.

    Attributes:
        learner: by name, see :func:`~bomrl_theory.control.learner.learners`.
        algorithm: how each task adapts; None for the learner's own.
        iterations: of the upper level.
        tasks: drawn anew for each iteration.
        trajectories: of each task, each time that data are collected.
        alpha: step size of the policy-gradient step.
        lam: regularisation of BO-MRL's lower level in units of standardised advantages; None to choose it in each
            iteration so that adaptation moves as far as ``divergence`` says.
        divergence: mean KL that adaptation aims at where ``lam`` is None, in nats.
        radius: trust region of the upper level, mean KL in nats.
        gae: lambda of generalised advantage estimation.
        hidden: widths of the policy's layers.
        precision: "float32" or "float64".
        device: of torch; rollouts are the simulator's.
        threads: of torch; sums depend on it, so it belongs to the run.
    """

    learner: str = "bo-mrl"
    algorithm: str | None = None
    iterations: int = 500
    tasks: int = 20
    trajectories: int = 10
    alpha: float = 0.1
    lam: float | None = None
    divergence: float = 2.0
    radius: float = 0.01
    gae: float = 1.0
    hidden: tuple[int, ...] = (64, 64)
    precision: str = "float32"
    device: str = "cpu"
    threads: int = 1

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Config:
        hidden: dict[str, Any] = {"hidden": tuple(values["hidden"])}
        return cls(**(values | hidden))
