"""No training: independent standard normal logits, from the seeded generator."""

from __future__ import annotations

from bomrl_theory.meta.learner import Learner

LEARNER = Learner(
    name="random",
    label="random",
    summary="no training: standard normal logits",
    start=lambda solved, rng: rng.standard_normal((solved.family.states, solved.family.actions)),
)
