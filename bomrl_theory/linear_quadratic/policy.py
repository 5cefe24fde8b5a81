"""Linear-Gaussian policies ``u ~ N(-K x, Sigma)``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.linear_quadratic.definite import is_definite
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.mdp import as_doubles, at


@dataclass(frozen=True, eq=False)
class GaussianPolicy:
    """``u ~ N(-K x, Sigma)``, one for all tasks or one a task.

    Attributes:
        K: gains [m, n] or [T, m, n].
        Sigma: covariances [m, m] or [T, m, m].
    """

    K: Float64[Array, "*T m n"]
    Sigma: Float64[Array, "*T m m"]

    @classmethod
    def new(cls, K: Any, Sigma: Any) -> GaussianPolicy:
        """Validate and build; both with or both without the axis of the tasks.

        Raises:
            InvalidTask: wrong shapes, an entry that is not finite, or a covariance that is not symmetric and positive
                definite.
        """
        try:
            batched = np.ndim(K) == 3
        except ValueError:  # ragged: the check below says so
            batched = False
        lead = ("tau",) if batched else ()
        K = as_doubles("K", K, (*lead, "u", "x"))
        Sigma = as_doubles("Sigma", Sigma, (*lead, "u", "u'"))
        wanted = (*K.shape[:-1], K.shape[-2])
        if Sigma.shape != wanted:
            raise InvalidTask(f"Sigma has shape {list(Sigma.shape)}; K {list(K.shape)} asks for {list(wanted)}")
        check_symmetric("Sigma", Sigma)
        for place in np.ndindex(Sigma.shape[:-2]):
            if not is_definite(Sigma[place]):
                where = at("Sigma", place, lead) if place else "Sigma"
                raise InvalidTask(
                    f"{where} = {Sigma[place].tolist()} is not positive definite; give every action noise"
                )
        return cls(K, Sigma)


def check_symmetric(name: str, matrices: Float64[Array, "*T n n"]) -> None:
    """Require exact symmetry.

    Raises:
        InvalidTask: an entry differs from its mirror image.
    """
    wrong = np.argwhere(matrices != np.swapaxes(matrices, -1, -2))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        mirrored = (*place[:-2], place[-1], place[-2])
        axes = ("tau", "i", "j")[-len(place) :]
        raise InvalidTask(
            f"{at(name, place, axes)} = {matrices[place]!s} but {at(name, mirrored, axes)} = {matrices[mirrored]!s}; "
            "symmetrise it: (M + M') / 2"
        )
