"""What can be measured on a case, in one number system (THEORY section 0's symbols)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import Array, Numbers, Numeric
from bomrl_theory.theory.case import Case


@dataclass(frozen=True, eq=False)
class Measured:
    """The quantities of a case; each is computed when first asked for, inside ``numbers.activated()``."""

    case: Case
    numbers: Numbers
    memo: dict[Any, Numeric] = field(default_factory=dict, repr=False)
    """Constants already measured."""

    @property
    def model(self) -> Model:
        return self.case.solved.model(self.numbers)

    @property
    def star(self) -> Evaluation:
        """Evaluation of pi*."""
        return self.case.solved.star(self.numbers)

    @property
    def phi(self) -> Evaluation:
        """Evaluation of the meta-policy."""
        return self.case.solved.evaluate(self.case.phi, self.numbers)

    @cached_property
    def path(self) -> tuple[Evaluation, ...]:
        """Evaluations of the policies along the adaptation, [K+1]: phi first, pi+ last."""
        solved = self.case.solved
        return tuple(solved.evaluate(policy, self.numbers) for policy in self.case.adaptation.policies)

    @cached_property
    def plus(self) -> Evaluation:
        """Evaluation of the adapted policies."""
        return self.case.solved.evaluate(self.case.adaptation.policies[-1], self.numbers)

    @property
    def a_star(self) -> Int[Array, "T S"]:
        """The optimal actions."""
        return self.case.solved.optimum.actions

    @cached_property
    def lam(self) -> Any:
        """lambda, a scalar."""
        return self.numbers.constant(self.case.lam)

    def at_star(self, values: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
        """``values(s, a*(s))``."""
        return np.take_along_axis(values, self.a_star[..., None], axis=-1)[..., 0]

    def span(self, values: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
        """``max_a - min_a``."""
        return self.numbers.largest(values, -1) + self.numbers.largest(-values, -1)

    @cached_property
    def lookahead_gap(self) -> Shaped[Numeric, "T S"]:
        """``P_{pi*}(V* - V^phi)``."""
        P_star = np.take_along_axis(self.model.P, self.a_star[..., None, None], axis=2)[:, :, 0]
        return self.numbers.dot(P_star, (self.star.V - self.phi.V)[:, None, :])

    @cached_property
    def soft_value(self) -> Shaped[Numeric, "T S"]:
        """``lambda log sum_a phi(a|s) exp(Q^phi(s,a)/lambda)``: the exact maximum of Alg^(2)'s objective."""
        reference = self.at_star(self.phi.Q)
        shifted = self.numbers.exp((self.phi.Q - reference[..., None]) / self.lam)
        return reference + self.lam * self.numbers.log(self.phi.average(shifted))

    @cached_property
    def largest_gap(self) -> Shaped[Numeric, " T"]:
        """``(max r - min r)/(1-gamma)``: no policy can be further from the optimum."""
        return self.reward_range / (1 - self.model.gamma)

    @cached_property
    def reward_range(self) -> Shaped[Numeric, " T"]:
        """``max r - min r``."""
        flat = self.model.r.reshape(len(self.model.r), -1)
        return self.numbers.largest(flat, -1) + self.numbers.largest(-flat, -1)
