"""MAML (Finn et al. 2017) for control: second order through one policy-gradient step, trust region step on top."""

from __future__ import annotations

from bomrl_theory.control.gradient_learner import TrustRegionLearner

LEARNER = TrustRegionLearner(
    name="maml",
    label="MAML",
    summary="second order through one policy-gradient step, trust region step on top",
)
