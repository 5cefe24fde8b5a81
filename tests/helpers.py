"""What several test files need: exact arithmetic written down once more, the catalogue, scripts as modules."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from flint import arb, fmpq, fmpq_mat

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import ENCLOSURES, FLOATS, Array, Balls, Enclosure, Numbers, Rationals
from bomrl_theory.tasks.catalogue import CATALOGUE, family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import MDP
from bomrl_theory.theory.registry import registry
from bomrl_theory.theory.theorem import Theorem

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"
Bomrl = Callable[..., tuple[int, str, str]]
"""Runs the command line in this process: exit code, stdout, stderr."""
NUMBERS: tuple[Numbers, ...] = (FLOATS, ENCLOSURES, Balls(128), Rationals(128))
GYMNASIUM = (
    "gymnasium:FrozenLake-v1",
    "gymnasium:FrozenLake-v1:map_name=8x8,is_slippery=true|false",
    "gymnasium:CliffWalking-v1",
    "gymnasium:Taxi-v4",
)
FAMILIES = (*CATALOGUE, *GYMNASIUM)


def tabular() -> list[Theorem]:
    """The registered theorems about finite MDPs."""
    return [theorem for theorem in registry().values() if theorem.setting == "tabular"]


def drawn(spec: str, seed: int = 7) -> TaskFamily:
    """The family that ``spec`` names, from a fixed seed."""
    return family_named(spec, np.random.default_rng(seed))


def fraction(value: Any) -> Fraction:
    """An exact number of any kind (a ball: its mid-point) as a Fraction."""
    if isinstance(value, fmpq):
        return Fraction(int(value.p), int(value.q))
    if isinstance(value, arb):
        mantissa, exponent = value.mid().man_exp()
        return int(mantissa) * Fraction(2) ** int(exponent)
    return Fraction(float(value.mid)) if isinstance(value, Enclosure) else Fraction(value)


def radius(value: Any) -> Fraction:
    """How far the exact number may be from :func:`fraction`'s answer."""
    if isinstance(value, arb):
        return fraction(value.rad())
    return Fraction(float(value.rad)) if isinstance(value, Enclosure) else Fraction(0)


def encloses(value: Any, exact: Fraction) -> bool:
    """Whether a ball or an enclosure contains an exact number, decided without rounding (otherwise: equality)."""
    return abs(fraction(value) - exact) <= radius(value)


def normalised(weights: Array) -> list[Fraction]:
    """A row of doubles divided by its exact sum."""
    exact = [Fraction(float(x)) for x in weights]
    return [x / sum(exact) for x in exact]


class ExactChain:
    """The Markov chain of one policy on one task, built entry by entry in fractions."""

    def __init__(self, task: MDP, policy: Array):
        self.gamma = task.gamma
        self.pi = [normalised(row) for row in policy]
        self.rho = normalised(task.rho)
        S, A = task.states, task.actions
        P = [[normalised(task.P[s, a]) for a in range(A)] for s in range(S)]
        self.r = [sum(self.pi[s][a] * Fraction(float(task.r[s, a])) for a in range(A)) for s in range(S)]
        self.P = [[sum(self.pi[s][a] * P[s][a][z] for a in range(A)) for z in range(S)] for s in range(S)]

    def _solve(self, rows: Sequence[Sequence[Fraction | int]], rhs: Sequence[Fraction | int]) -> list[Fraction]:
        size = len(rhs)
        left = fmpq_mat(size, size, [_fmpq(x) for row in rows for x in row])
        return [fraction(x) for x in left.solve(fmpq_mat(size, 1, [_fmpq(x) for x in rhs])).entries()]

    def V(self) -> list[Fraction]:
        """The solution of ``V = r + gamma P V``."""
        size = range(len(self.r))
        return self._solve([[(s == z) - self.gamma * self.P[s][z] for z in size] for s in size], self.r)

    def nu(self) -> list[Fraction]:
        """The solution of ``nu = (1-gamma) rho + gamma nu P``."""
        size = range(len(self.r))
        rows = [[(s == z) - self.gamma * self.P[z][s] for z in size] for s in size]
        return self._solve(rows, [(1 - self.gamma) * x for x in self.rho])


def _fmpq(x: Fraction | int) -> fmpq:
    return fmpq(*x.as_integer_ratio())


def evaluation(family: TaskFamily, policy: Array, numbers: Numbers = FLOATS) -> Evaluation:
    """The evaluation of a policy [S, A] or [T, S, A]; use it inside ``numbers.activated()``."""
    weights = np.ascontiguousarray(np.broadcast_to(policy, family.r.shape))
    return Evaluation.of(Model(family, numbers), weights)


def row_softmax(logits: Array) -> Array:
    """Softmax of the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def experiment(name: str) -> ModuleType:
    """``experiments/NAME.py`` as a module under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"experiment_{name}", EXPERIMENTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
