"""A family of linear-quadratic tasks with exact data (THEORY section 10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.linear_quadratic.closed_form import optimum, spectral_radius
from bomrl_theory.linear_quadratic.definite import is_definite, is_semidefinite, least_corner
from bomrl_theory.linear_quadratic.model import Model
from bomrl_theory.linear_quadratic.policy import check_symmetric
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.mdp import as_doubles, check_task_weights, exact_discount


@dataclass(frozen=True, eq=False)
class LinearQuadraticFamily:
    """Weighted tasks ``x' = A x + B u + w``, ``w ~ N(0, W)``, reward ``-(x'R_x x + u'R_u u)``.

    The doubles are the exact rationals that they are; semidefiniteness is exact. Build it with :meth:`new`, or with
    :meth:`with_goals` where the tasks differ in the state that they want.

    Attributes:
        A, B, W: dynamics [T, n, n], input [T, n, m] and noise covariance [T, n, n].
        R_x, R_u: cost of states [T, n, n] and of actions [T, m, m], reward a step.
        gamma: shared discount, exact.
        mu0, S0: mean [T, n] and covariance [T, n, n] of the start.
        weights: task weights [T], normalised exactly by their sum.
        name: how reports call the family.
    """

    A: Float64[Array, "T n n"]
    B: Float64[Array, "T n m"]
    W: Float64[Array, "T n n"]
    R_x: Float64[Array, "T n n"]
    R_u: Float64[Array, "T m m"]
    gamma: Fraction
    mu0: Float64[Array, "T n"]
    S0: Float64[Array, "T n n"]
    weights: Float64[Array, " T"]
    name: str = "linear-quadratic"

    @classmethod
    def new(
        cls,
        A: Any,
        B: Any,
        W: Any,
        R_x: Any,
        R_u: Any,
        gamma: Any,
        mu0: Any,
        S0: Any,
        weights: Any = None,
        *,
        name: str = "linear-quadratic",
    ) -> LinearQuadraticFamily:
        """Validate and build; equal weights unless given.

        Raises:
            InvalidTask: a wrong shape, an entry that is not finite, a matrix that is not symmetric, ``R_u > 0``,
                ``R_x >= 0``, ``W >= 0`` or ``S0 >= 0`` fails, or a task whose optimum does not stabilise it; the
                message names the task and the remedy.
        """
        A = as_doubles("A", A, ("tau", "x'", "x"))
        B = as_doubles("B", B, ("tau", "x", "u"))
        (tasks, n, _), m = A.shape, B.shape[-1]
        square, actions = (tasks, n, n), (tasks, m, m)
        given = {
            "A": (A, square),
            "B": (B, (tasks, n, m)),
            "W": (as_doubles("W", W, ("tau", "x", "x'")), square),
            "R_x": (as_doubles("R_x", R_x, ("tau", "x", "x'")), square),
            "R_u": (as_doubles("R_u", R_u, ("tau", "u", "u'")), actions),
            "mu0": (as_doubles("mu0", mu0, ("tau", "x")), (tasks, n)),
            "S0": (as_doubles("S0", S0, ("tau", "x", "x'")), square),
            "weights": (as_doubles("weights", np.ones(tasks) if weights is None else weights, ("tau",)), (tasks,)),
        }
        for key, (array, shape) in given.items():
            if array.shape != shape:
                raise InvalidTask(
                    f"{key} has shape {list(array.shape)}; {tasks} tasks with {n} states and {m} actions (from A and "
                    f"B) ask for {list(shape)}"
                )
        arrays = {key: array for key, (array, _) in given.items()}
        for key in ("W", "R_x", "S0"):
            _check(key, arrays[key], is_semidefinite, "positive semidefinite", "make it L L' with exact entries")
        _check("R_u", arrays["R_u"], is_definite, "positive definite", "charge every action")
        check_task_weights(arrays["weights"])
        family = cls(**arrays, gamma=exact_discount(gamma), name=name)
        family._check_stabilisable()
        return family

    @classmethod
    def with_goals(
        cls,
        A: Any,
        B: Any,
        W: Any,
        R_x: Any,
        R_u: Any,
        gamma: Any,
        mu0: Any,
        S0: Any,
        goals: Any,
        weights: Any = None,
        *,
        name: str = "linear-quadratic goals",
    ) -> LinearQuadraticFamily:
        """Tasks with cost ``(x-g)'R_x(x-g) + u'R_u u``, as a family with one more state, which is always 1.

        So a policy is affine in x: the last column of its gain is an offset. ``R_x g`` is rounded to doubles, and the
        constant part of the cost up to the next double that keeps the matrix semidefinite.

        Args:
            A, B, W, R_x, R_u, gamma, mu0, S0, weights: as for :meth:`new`, without the constant state.
            goals: g [T, n].

        Raises:
            InvalidTask: as for :meth:`new`; or R_x is singular and ``R_x g`` is not exact.
        """
        A, W = (as_doubles(key, x, ("tau", "x'", "x")) for key, x in (("A", A), ("W", W)))
        B = as_doubles("B", B, ("tau", "x", "u"))
        R_x, S0 = (as_doubles(key, x, ("tau", "x", "x'")) for key, x in (("R_x", R_x), ("S0", S0)))
        mu0, goals = (as_doubles(key, x, ("tau", "x")) for key, x in (("mu0", mu0), ("goals", goals)))
        for key, array in {"goals": goals, "mu0": mu0}.items():
            if array.shape != R_x.shape[:2]:
                raise InvalidTask(f"{key} has shape {list(array.shape)}; R_x asks for {list(R_x.shape[:2])}")
        cost = bordered(R_x)
        for task, goal in enumerate(goals):
            row = -(R_x[task] @ goal)
            corner = least_corner(R_x[task], row)
            if corner is None:
                raise InvalidTask(
                    f"R_x[tau={task}] is singular or not semidefinite, and R_x g is not exact in doubles; use a "
                    "positive definite or a diagonal R_x, or goals with few digits"
                )
            cost[task, -1, :-1] = cost[task, :-1, -1] = row
            cost[task, -1, -1] = _rounded_up(corner)
        return cls.new(
            bordered(A, 1.0),
            np.concatenate([B, np.zeros_like(B[:, :1])], axis=1),
            bordered(W),
            cost,
            R_u,
            gamma,
            np.concatenate([mu0, np.ones_like(mu0[:, :1])], axis=1),
            bordered(S0),
            weights,
            name=name,
        )

    @property
    def tasks(self) -> int:
        return self.A.shape[0]

    @property
    def states(self) -> int:
        """n, with the constant state of goals."""
        return self.A.shape[1]

    @property
    def actions(self) -> int:
        return self.B.shape[2]

    def only(self, tasks: Sequence[int]) -> LinearQuadraticFamily:
        """Some of the tasks, with their weights."""
        chosen = list(tasks)
        fields = ("A", "B", "W", "R_x", "R_u", "mu0", "S0", "weights")
        return replace(self, **{key: getattr(self, key)[chosen] for key in fields})

    def model(self, convert: Callable[[Array], Any] = np.asarray) -> Model:
        """The matrices for the closed forms; ``convert`` makes tensors of a dtype and device of them, for example."""
        weights = self.weights / self.weights.sum()
        A, B, W, R_x, R_u, mu0, S0 = (
            convert(x) for x in (self.A, self.B, self.W, self.R_x, self.R_u, self.mu0, self.S0)
        )
        return Model(A, B, W, R_x, R_u, float(self.gamma), mu0, S0, convert(weights))

    def radius(self, K: Float64[Array, "... m n"]) -> Float64[Array, " T"]:
        """``sqrt(gamma) rho(A - B K)`` [T]: below 1 the discounted cost of the gain is finite from every start."""
        return spectral_radius(self.model(), K)

    def _check_stabilisable(self) -> None:
        found = optimum(self.model())
        with np.errstate(invalid="ignore"):
            wrong = ~((found.radius < 1) & (found.residual < OPTIMUM_RESIDUAL))
        if np.any(wrong):
            task = int(np.argwhere(wrong)[0, 0])
            raise InvalidTask(
                f"task {task} has no stabilising optimum: sqrt(gamma) rho(A - B K*) = {found.radius[task]:.6g} must be "
                "below 1; a growing state that actions do not reach, or that costs nothing, needs a smaller gamma"
            )

    def __repr__(self) -> str:
        return (
            f"LinearQuadraticFamily('{self.name}', {self.tasks} tasks, {self.states} states, {self.actions} actions, "
            f"gamma = {self.gamma})"
        )


OPTIMUM_RESIDUAL = 1e-6
"""Largest relative residual of the Riccati equation that validation takes for a solution."""


def bordered(matrices: Float64[Array, "T n n"], corner: float = 0.0) -> Float64[Array, "T n+1 n+1"]:
    """With one more row and column of zeros, and ``corner`` where they meet."""
    result = np.pad(matrices, ((0, 0), (0, 1), (0, 1)))
    result[:, -1, -1] = corner
    return result


def _rounded_up(x: Fraction) -> float:
    nearest = float(x)
    return nearest if Fraction(nearest) >= x else math.nextafter(nearest, math.inf)


def _check(name: str, matrices: Array, test: Callable[[Array], bool], what: str, remedy: str) -> None:
    check_symmetric(name, matrices)
    for task, matrix in enumerate(matrices):
        if not test(matrix):
            raise InvalidTask(f"{name}[tau={task}] = {matrix.tolist()} is not {what}; {remedy}")
