"""MAML (Finn, Abbeel and Levine 2017): ``F(theta) = E_tau J_tau(theta + alpha grad J_tau(theta))``.

With exact expectations the inner gradient is the policy gradient itself, and the full second-order hypergradient
``(I + alpha Hess J(theta)) grad J(theta+)`` also holds how the data's distribution depends on theta.
"""

from __future__ import annotations

from bomrl_theory.meta.learner import Learner, everywhere
from bomrl_theory.meta.learners.bo_mrl import climb

LEARNER = Learner(
    name="maml",
    label="MAML",
    summary="one policy-gradient step of size alpha, differentiated to second order",
    collect=everywhere(lambda data, theta: climb(data, theta, "exact")),
    algorithms=("policy-gradient",),
)
