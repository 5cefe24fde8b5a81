"""What can be measured on a case, in one number system (THEORY section 0's symbols)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from jaxtyping import Int, Shaped

from bomrl_theory.adapt.parts import penalty_in_parts
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import Array, Numbers, Numeric
from bomrl_theory.tasks.sparse_family import SparseFamily
from bomrl_theory.theory.case import Case


@dataclass(frozen=True, eq=False)
class View:
    """A case of any setting in one number system; quantities are computed when first asked for."""

    case: Any
    numbers: Numbers
    memo: dict[Any, Numeric] = field(default_factory=dict, repr=False)
    """Constants already measured."""

    @cached_property
    def lam(self) -> Any:
        """lambda, a scalar."""
        return self.numbers.constant(self.case.lam)

    @property
    def model(self) -> Any:
        """Holds the discount ``gamma`` and the task weights ``w`` [T]."""
        raise NotImplementedError

    @property
    def star(self) -> Any:
        """Evaluation of pi*, with its return J [T]."""
        raise NotImplementedError

    @property
    def phi(self) -> Any:
        """Evaluation of the meta-policy, with its return J [T]."""
        raise NotImplementedError

    @property
    def plus(self) -> Any:
        """Evaluation of the adapted policies, with their return J [T]."""
        raise NotImplementedError

    @property
    def largest_gap(self) -> Any:
        """No policy can be further from the optimum [T]."""
        raise NotImplementedError

    @property
    def size(self) -> Any:
        """The size of the returns [T], above whose rounding errors a difference of floats means something."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Measured(View):
    """The quantities of a tabular case, inside ``numbers.activated()``."""

    case: Case

    @property
    def model(self) -> Model:
        return self.case.solved.model(self.numbers)

    @property
    def star(self) -> Evaluation:
        """Evaluation of pi*."""
        return self.case.solved.star(self.numbers)

    @cached_property
    def phi(self) -> Evaluation:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Evaluation of the meta-policy."""
        return self.case.solved.evaluate(self.case.phi, self.numbers)

    @cached_property
    def path(self) -> tuple[Evaluation, ...]:
        """Evaluations of the policies along the adaptation, [K+1]: phi first, pi+ last."""
        solved = self.case.solved
        return tuple(solved.evaluate(policy, self.numbers) for policy in self.case.adaptation.policies)

    @cached_property
    def plus(self) -> Evaluation:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Evaluation of the adapted policies."""
        return self.case.solved.evaluate(self.case.adaptation.policies[-1], self.numbers)

    @cached_property
    def steps(self) -> tuple[Measured, ...]:
        """Every adaptation step by itself, [K]: its phi is where the step starts, its plus where it ends."""
        return tuple(OneStep(self.case, self.numbers, start=start, end=end) for start, end in pairwise(self.path))

    @property
    def a_star(self) -> Int[Array, "T S"]:
        """The optimal actions.

        Raises:
            SingularSystem: a sparse family's ties are left open; :meth:`at_star` encloses over them.
        """
        return self.case.solved.optimal_actions

    def at_star(self, values: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
        """``values(s, a*(s))``."""
        return self.case.solved.optimum.at(values)

    def span(self, values: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
        """``max_a - min_a``."""
        return self.numbers.largest(values, -1) + self.numbers.largest(-values, -1)

    @cached_property
    def lookahead_gap(self) -> Shaped[Numeric, "T S"]:
        """``P_{pi*}(V* - V^phi)``."""
        return self.ahead(self.star.V - self.phi.V)

    @cached_property
    def penalty(self) -> Shaped[Numeric, "T S"]:
        """``lambda d_i(phi, pi+)``: what the algorithm charges for the change."""
        if isinstance(self.case.family, SparseFamily):
            return penalty_in_parts(self.case.algorithm, self.phi, self.lam, self.plus)
        return self.case.algorithm.penalty(self.phi, self.lam, self.plus)

    @cached_property
    def reached(self) -> Shaped[Numeric, "T S"]:
        """``<pi+, Q^phi> - lambda d_i(phi, pi+)``: what pi+ reaches of the algorithm's objective."""
        return self.plus.average(self.phi.Q) - self.penalty

    def ahead(self, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S"]:
        """``P_{pi*} values``; a value that is not met leaves no trace, however little is known of it."""
        return self.star.ahead(values)

    @cached_property
    def soft_value(self) -> Shaped[Numeric, "T S"]:
        """``lambda log sum_a phi(a|s) exp(Q^phi(s,a)/lambda)``: the exact maximum of Alg^(2)'s objective."""
        reference = self.at_star(self.phi.Q)
        shifted = self.numbers.exp((self.phi.Q - reference[..., None]) / self.lam)
        return reference + self.lam * self.numbers.log(self.phi.average(shifted))

    @cached_property
    def largest_gap(self) -> Shaped[Numeric, " T"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """``(max r - min r)/(1-gamma)``: no policy can be further from the optimum."""
        return self.reward_range / (1 - self.model.gamma)

    @property
    def size(self) -> Shaped[Numeric, " T"]:
        """The size of the returns, above whose rounding errors a difference of floats means something."""
        return self.largest_gap

    @cached_property
    def reward_range(self) -> Shaped[Numeric, " T"]:
        """``max r - min r``."""
        flat = self.model.r.reshape(len(self.model.r), -1)
        return self.numbers.largest(flat, -1) + self.numbers.largest(-flat, -1)


@dataclass(frozen=True, eq=False)
class OneStep(Measured):
    """The measurements of one step of several; the policy that it starts from may differ between tasks."""

    start: Evaluation = field(kw_only=True)
    end: Evaluation = field(kw_only=True)

    @property
    def phi(self) -> Evaluation:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.start

    @property
    def plus(self) -> Evaluation:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.end
