"""BO-MRL for control: a solved lower level, and the implicit hypergradient with all its parts."""

from __future__ import annotations

from bomrl_theory.control.bilevel_learner import BilevelLearner

LEARNER = BilevelLearner(
    name="bo-mrl",
    label="BO-MRL",
    summary="a solved lower level, differentiated implicitly; trust region step on top",
)
