"""BO-MRL for control without the lower level's derivative: the gradient at the adapted policy is taken as it is."""

from __future__ import annotations

from bomrl_theory.control.bilevel_learner import BilevelLearner

LEARNER = BilevelLearner(
    name="bo-mrl-first-order",
    label="BO-MRL, first order",
    summary="BO-MRL with the lower level's derivative taken for the identity",
    method="first-order",
)
