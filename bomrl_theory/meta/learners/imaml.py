"""iMAML (Rajeswaran, Finn, Kakade and Levine 2019): a proximal inner problem, differentiated implicitly.

The inner problem is Alg^(3), ``max E_nu <pi, Q^phi> - lambda |theta' - theta|^2``, whose data are collected once; the
published one regularises the task's own loss with ``lambda/2``. The gradient solves the first-order conditions'
linear system exactly, where the publication runs conjugate gradients.
"""

from __future__ import annotations

from bomrl_theory.meta.learner import Learner, everywhere
from bomrl_theory.meta.learners.bo_mrl import climb

LEARNER = Learner(
    name="imaml",
    label="iMAML",
    summary="proximal step in the logits (Alg^(3)), implicit gradient",
    collect=everywhere(lambda data, theta: climb(data, theta, "implicit")),
    algorithms=("euclidean",),
)
