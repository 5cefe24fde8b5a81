"""A trained meta-policy to look at: adapted to some goals, then filmed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from bomrl_theory.control.evaluate import Trained, adaptations
from bomrl_theory.control.locomotion.film import Film, film
from bomrl_theory.control.locomotion.rollout import Locomotion
from bomrl_theory.errors import InvalidTask


def filmed(run: Trained, goals: Sequence[float], *, steps: int, seed: int) -> Film:
    """Adapt a meta-policy to each goal, then film one trajectory of each.

    Args:
        run: trained on locomotion.
        goals: in m/s, or 1 and -1 for a direction; without any, goals that are far apart.
        steps: K, adaptations.
        seed: of trajectories.

    Raises:
        InvalidTask: the tasks have no pictures, or a direction is neither 1 nor -1.
        MissingLibrary: OpenGL is not there (tells how to install it).
    """
    simulator = run.problem.simulator
    if not isinstance(simulator, Locomotion):
        raise InvalidTask(f"{run.path} was trained on '{simulator.name}', which has no pictures; film a robot")
    low, high = simulator.preset.goals
    if simulator.preset.aim == "direction":
        chosen = list(goals) or [high, low]
        if wrong := [goal for goal in chosen if goal not in (low, high)]:
            raise InvalidTask(f"goal {wrong[0]:g} is no direction; 1 is forwards, -1 backwards")
    else:
        chosen = list(goals) or [low + (high - low) / 6, high - (high - low) / 6]
    if not np.isfinite(chosen).all():
        raise InvalidTask(f"goals {chosen} must be finite")
    tasks = np.array(chosen)[:, None]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(6,)))
    theta, _ = list(islice(adaptations(run, tasks, rng), steps + 1))[-1]
    return film(simulator, run.problem.policy, theta, tasks, rng)
