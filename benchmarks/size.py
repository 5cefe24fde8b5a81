"""How much is done once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """What is done once: tasks, trajectories of each, and steps of a trajectory."""

    task: str
    tasks: int
    trajectories: int
    horizon: int

    def __str__(self) -> str:
        return f"{self.task}, {self.tasks} tasks x {self.trajectories} trajectories x {self.horizon} steps"
