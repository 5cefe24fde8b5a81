"""Cases of linear-quadratic control and what can be measured on them (THEORY section 10)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Shaped

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.adapt.step import Algorithm
from bomrl_theory.errors import InvalidTask
from bomrl_theory.linear_quadratic import closed_form as cf
from bomrl_theory.linear_quadratic.enclose import best, enclosed_model
from bomrl_theory.linear_quadratic.model import Model
from bomrl_theory.linear_quadratic.policy import GaussianPolicy
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily
from bomrl_theory.numbers import Balls, Numbers, Numeric, of_kind
from bomrl_theory.theory.case import Setting, described, exact_lambda
from bomrl_theory.theory.measured import View

EXACT, ESTIMATED = "kl-posterior", "kl-posterior-sampled"


@dataclass(frozen=True, eq=False)
class LinearQuadraticCase:
    """A family, a linear-Gaussian meta-policy, and how it adapts.

    Attributes:
        family: the tasks.
        phi: the meta-policy, one for all tasks.
        algorithm: Alg^(2), or Alg^(2) on an estimate of Q^phi.
        lam: lambda, exact.
        steps: K.
        adapted: what adaptation on an estimate came to, a policy for each task, taken as the exact doubles that it is;
            None where the exact maximiser is meant.
        origin: where the case comes from, for people.
    """

    setting: ClassVar[Setting] = "linear-quadratic"

    family: LinearQuadraticFamily = field(repr=False)
    phi: GaussianPolicy = field(repr=False)
    algorithm: Algorithm
    lam: Fraction
    steps: int = 1
    adapted: GaussianPolicy | None = field(default=None, repr=False)
    origin: str = ""

    @classmethod
    def new(
        cls,
        family: LinearQuadraticFamily,
        phi: GaussianPolicy,
        lam: Any = 1,
        *,
        steps: int = 1,
        adapted: GaussianPolicy | None = None,
        origin: str = "",
    ) -> LinearQuadraticCase:
        """Validate and build; with ``adapted`` a case of Alg^(2) on an estimate, from wherever the policies come.

        Raises:
            InvalidTask: a policy of the wrong shape, or one that does not stabilise some task; lambda is not positive;
                several steps of an estimate.
        """
        shape = (family.actions, family.states)
        if phi.K.shape != shape:
            raise InvalidTask(f"the meta-policy's K has shape {list(phi.K.shape)}; the tasks ask for {list(shape)}")
        _check_stable("the meta-policy", family, phi)
        if adapted is not None:
            if adapted.K.shape != (family.tasks, *shape):
                wanted = [family.tasks, *shape]
                raise InvalidTask(f"the adapted K has shape {list(adapted.K.shape)}; the tasks ask for {wanted}")
            _check_stable("the adapted policy", family, adapted)
            if steps != 1:
                raise InvalidTask(f"steps = {steps}: an estimate is made once; leave it at 1")
        if steps < 0:
            raise InvalidTask(f"steps = {steps} must not be negative")
        algorithm = algorithm_named(EXACT if adapted is None else ESTIMATED)
        return cls(family, phi, algorithm, exact_lambda(lam), steps, adapted, origin or family.name)

    @property
    def shared(self) -> LinearQuadraticFamily:
        return self.family

    def restricted(self, tasks: tuple[int, ...]) -> LinearQuadraticCase:
        """The same case on some of its tasks."""
        if tasks == tuple(range(self.family.tasks)):
            return self
        chosen, adapted = list(tasks), self.adapted
        if adapted is not None:
            adapted = GaussianPolicy(adapted.K[chosen], adapted.Sigma[chosen])
        return replace(self, family=self.family.only(chosen), adapted=adapted)

    @property
    def certifiable(self) -> bool:
        return False

    def number_systems(self, relation: Literal["<=", "=="]) -> tuple[Numbers, ...]:
        return of_kind(Balls)  # square roots and logarithms throughout: nothing stays rational

    def describe(self) -> str:
        """One line for tables and messages."""
        return described(self)


def _check_stable(who: str, family: LinearQuadraticFamily, policy: GaussianPolicy) -> None:
    radius = family.radius(policy.K)
    if not np.all(radius < 1):
        task = int(np.argmax(~(radius < 1)))
        raise InvalidTask(
            f"{who} does not stabilise task {task}: sqrt(gamma) rho(A - BK) = {radius[task]:.6g} must be below 1; "
            "its return would be minus infinity"
        )


@dataclass(frozen=True, eq=False)
class LinearQuadraticView(View):
    """The quantities of a linear-quadratic case, inside ``numbers.activated()``.

    Each may raise :class:`SingularSystem` where nothing can be guaranteed at the precision of the balls.
    """

    case: LinearQuadraticCase

    @cached_property
    def model(self) -> Model:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The matrices."""
        return enclosed_model(self.case.family, self.numbers)

    @cached_property
    def star(self) -> cf.Optimum:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The optimum."""
        return best(self.case.family, self.model, self.numbers)

    @cached_property
    def path(self) -> tuple[cf.Evaluation, ...]:
        """Evaluations of the policies along exact adaptation, [K+1]: phi first."""
        load = self.numbers.load
        evaluations = [cf.evaluate(self.model, load(self.case.phi.K), load(self.case.phi.Sigma))]
        for _ in range(self.case.steps):
            evaluations.append(cf.evaluate(self.model, *cf.adapt(evaluations[-1], self.lam)))
        return tuple(evaluations)

    @property
    def phi(self) -> cf.Evaluation:
        """Evaluation of the meta-policy."""
        return self.path[0]

    @cached_property
    def plus(self) -> cf.Evaluation:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Evaluation of the adapted policies."""
        adapted, load = self.case.adapted, self.numbers.load
        return self.path[-1] if adapted is None else cf.evaluate(self.model, load(adapted.K), load(adapted.Sigma))

    def started(self, function: cf.Quadratic) -> Shaped[Numeric, " T"]:
        """The expectation of a function over the start distribution."""
        return function.mean(self.model.start_moment)

    def ahead(self, function: cf.Quadratic) -> cf.Quadratic:
        """``P_{pi*} function``."""
        return cf.ahead(self.model, self.star.K, function)

    @property
    def largest_gap(self) -> Shaped[Numeric, " T"]:
        """Infinite: costs have no largest value."""
        return self.numbers.load(np.full(self.model.tasks, np.inf))

    @property
    def size(self) -> Shaped[Numeric, " T"]:
        """The size of the returns, above whose rounding errors a difference of floats means something."""
        return -self.phi.J
