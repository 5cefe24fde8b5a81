"""First-order MAML (Finn, Abbeel and Levine 2017): MAML without the Hessian: ``E_tau grad J_tau(theta+)``."""

from __future__ import annotations

from bomrl_theory.meta.learner import Learner, everywhere
from bomrl_theory.meta.learners.bo_mrl import climb

LEARNER = Learner(
    name="fomaml",
    label="FOMAML",
    summary="MAML without second derivatives",
    collect=everywhere(lambda data, theta: climb(data, theta, "first-order")),
    algorithms=("policy-gradient",),
    gradient=False,
)
