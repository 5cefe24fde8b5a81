"""No training: the closed-form barycentre of the optima with a tenth of the uniform policy (THEORY section 7)."""

from __future__ import annotations

import numpy as np

from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.meta.learner import Learner

LEARNER = Learner(
    name="barycentre",
    label="barycentre",
    summary="no training: the weighted barycentre of the optimal policies, with 10 % uniform",
    start=lambda solved, rng: np.log(barycentre(solved.family, solved.optimum)),
)
