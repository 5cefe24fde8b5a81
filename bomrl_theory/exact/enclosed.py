"""Dense tasks in enclosures: float values, enclosed by one Bellman residual, without an enclosure of P.

The same quantities as those of :class:`Model` and :class:`Evaluation` in less time and memory: the weights are read as
they are, and their normalisation is part of the rounding error (docs/rounding.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Shaped

from bomrl_theory.exact.enclose import Rows, backup_error, beyond_guess
from bomrl_theory.exact.evaluate import DeterministicEvaluation, Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import Array, Enclosure, Numeric, discounted_error
from bomrl_theory.numbers.enclosure import rounded_up


@dataclass(frozen=True, eq=False)
class EnclosedModel(Model):
    """The family's data in enclosures; use inside ``numbers.activated()``."""

    @cached_property
    def rows(self) -> Rows:
        """The weights, with what every product with them needs."""
        return Rows.of(self.family)

    def expected(self, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
        size = rounded_up(np.abs(values.mid).max(axis=-1) + values.rad.max(axis=-1))
        error = self.rows.where_sane(backup_error(self.rows.terms, 1.0, size, 0.0))
        spread = self.rows.expected(values.rad) + error[:, None, None]
        return Enclosure(self.rows.expected(values.mid), rounded_up(spread + error[:, None, None]))


@dataclass(frozen=True, eq=False)
class EnclosedEvaluation(Evaluation):
    """A policy's quantities around a guess of its value.

    Attributes:
        guess: any doubles [T, S]; how good they are decides how wide the enclosures become.
    """

    model: EnclosedModel  # pyright: ignore[reportIncompatibleVariableOverride]
    guess: Float64[Array, "T S"] = field(kw_only=True)

    @cached_property
    def _residual(self) -> Enclosure:
        """``r + gamma P guess - guess`` [T, S, A]."""
        return self.model.rows.backup(self.model.family, self.guess)

    @cached_property
    def _error(self) -> Enclosure:
        """``V - guess`` lies in it in every state [T, 1]."""
        return discounted_error(self.average(self._residual), self.model.gamma)

    @cached_property
    def V(self) -> Shaped[Numeric, "T S"]:
        return self.guess + self._error

    @cached_property
    def Q(self) -> Shaped[Numeric, "T S A"]:
        return self._residual + self.guess[..., None] + (self.model.gamma * self._error)[..., None]

    @cached_property
    def advantage(self) -> Shaped[Numeric, "T S A"]:
        return self._residual + beyond_guess(self._error, self.model.gamma)[..., None]

    def ahead(self, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S"]:
        return self.average(self.model.expected(values))


@dataclass(frozen=True, eq=False)
class EnclosedDeterministicEvaluation(EnclosedEvaluation, DeterministicEvaluation):
    """Both at once."""
