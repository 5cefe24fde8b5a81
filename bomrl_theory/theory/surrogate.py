"""Constants of the surrogate bounds: how far pi+ is from phi, and kappa (THEORY section 4)."""

from __future__ import annotations

import numpy as np
import sympy as sp
from jaxtyping import Shaped

from bomrl_theory.adapt.step import kl
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.constants import Delta, gamma, per_state, per_task
from bomrl_theory.theory.measured import Measured


def total_variation(m: Measured) -> Shaped[Numeric, "T S"]:
    """``1/2 sum_a |pi+ - phi|``."""
    change = m.plus.pi - m.phi.pi
    return m.numbers.maximum(change, -change).sum(axis=-1) / 2


def smallest_visitation(m: Measured) -> Shaped[Numeric, " T"]:
    """``min nu_phi(s)`` over the states that phi visits; a full support visits all that any policy does."""
    return -m.numbers.largest(np.where(m.phi.visited, -m.phi.nu, -m.numbers.constant(1)), -1)


TV = per_state("TV", "TV(pi+, phi) at s", "1", total_variation, nonnegative=True)
TV_max = per_task(
    "TV_max",
    "max TV(pi+, phi) over the states that phi visits",
    "1",
    lambda m: m.numbers.largest(np.where(m.phi.visited, total_variation(m), m.model.zero), -1),
    nonnegative=True,
)
KL = per_state("KL", "KL(pi+ || phi) at s", "nats", lambda m: kl(m.plus, m.phi), nonnegative=True)
nu_min = per_task("nu_min", "min nu_phi over the states that phi visits", "1", smallest_visitation, positive=True)

KAPPA = gamma.symbol * Delta.symbol / ((1 - gamma.symbol) * sp.sqrt(nu_min.symbol))
"""kappa: above it lambda outweighs what the surrogate leaves out."""
