"""BO-MRL as its released code moves: the hypergradient without the terms through ``Q^phi`` and ``nu^phi``.

The dropped terms and their size: theorem ``first_order_bias``. Reconstructed from the authors' public code.
"""

from __future__ import annotations

from bomrl_theory.meta.learner import Learner, everywhere
from bomrl_theory.meta.learners.bo_mrl import climb

LEARNER = Learner(
    name="bo-mrl-first-order",
    label="BO-MRL, first order",
    summary="bilevel optimisation as released: action values count as constants",
    collect=everywhere(lambda data, theta: climb(data, theta, "first-order")),
    gradient=False,
)
