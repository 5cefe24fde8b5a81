"""The box that the worst-case search moves in: every point is a valid candidate case.

A candidate is a vector with entries in [-1, 1]. Probabilities are softmax weights of logits, stretched so that nearly
deterministic rows fill as much of the box as mixed ones. Around 0 a small interval maps to exactly 0, and probabilities
below :data:`NEGLIGIBLE` become exactly 0: ties, equal weights, uniform rows and missing transitions, where bounds are
often tight, then have positive volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from bomrl_theory.numbers import Array
from bomrl_theory.theory.case import Case
from bomrl_theory.verify.population import Population

DEAD = 0.05
"""Entries up to this size count as 0."""
ROW_LOGIT, POLICY_LOGIT, WEIGHT_LOGIT = 24.0, 40.0, 3.0
"""Largest logits of transitions and starts, of the meta-policy, and of task weights."""
DECADES = 5.0
"""Rewards span 10^-5 to 10^5; together with lambda's own range that covers both limits of the adaptation."""
NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class Space:
    """Candidates of one size.

    Attributes:
        tasks, states, actions: T, S, A.
    """

    tasks: int
    states: int
    actions: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The blocks of a vector."""
        T, S, A = self.tasks, self.states, self.actions
        return {"P": (T, S, A, S), "r": (T, S, A), "rho": (T, S), "w": (T,), "phi": (S, A), "scale": ()}

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def decode(
        self, x: Float64[Array, "N d"], gamma: Fraction, lam: Fraction, algorithm: str, steps: int
    ) -> Population:
        """The candidates of N vectors."""
        moved = np.sign(x) * np.maximum(np.abs(x) - DEAD, 0) / (1 - DEAD)
        blocks: dict[str, Array] = {}
        start = 0
        for name, shape in self.shapes.items():
            length = int(np.prod(shape))
            blocks[name] = moved[:, start : start + length].reshape(len(x), *shape)
            start += length
        scale = 10 ** (DECADES * blocks["scale"])
        return Population(
            P=_rows(blocks["P"], ROW_LOGIT),
            r=np.clip(1.25 * blocks["r"], -1, 1) * scale[:, None, None, None],
            rho=_rows(blocks["rho"], ROW_LOGIT),
            w=_softmax(WEIGHT_LOGIT * blocks["w"]),
            phi=_softmax(_stretched(blocks["phi"], POLICY_LOGIT)),
            gamma=gamma,
            lam=lam,
            algorithm=algorithm,
            steps=steps,
        )

    def encode(self, case: Case) -> Float64[Array, " d"]:
        """A vector that decodes to nearly this case, for a start there; the case must have this size."""
        family = case.family
        with np.errstate(divide="ignore"):
            logs = {
                "P": np.log(family.P),
                "rho": np.log(family.rho),
                "w": np.log(family.weights),
                "phi": np.log(case.phi),
            }
        scale = float(np.abs(family.r).max()) or 1.0
        blocks = {
            "P": _unstretched(_centred(logs["P"], ROW_LOGIT), ROW_LOGIT),
            "r": family.r / scale / 1.25,
            "rho": _unstretched(_centred(logs["rho"], ROW_LOGIT), ROW_LOGIT),
            "w": _centred(logs["w"], WEIGHT_LOGIT) / WEIGHT_LOGIT,
            "phi": _unstretched(_centred(logs["phi"], POLICY_LOGIT), POLICY_LOGIT),
            "scale": np.array(np.log10(scale) / DECADES),
        }
        moved = np.concatenate([blocks[name].reshape(-1) for name in self.shapes])
        return np.clip(np.sign(moved) * (np.abs(moved) * (1 - DEAD) + DEAD * (moved != 0)), -1, 1)


def _stretched(x: Array, largest: float) -> Array:
    """From [-1, 1] to logits in [-largest, largest], fine around zero."""
    return (largest - 2) * x**3 + 2 * x


def _unstretched(logits: Array, largest: float) -> Array:
    """The inverse, by interpolation; logits beyond the range are clipped."""
    grid = np.linspace(-1, 1, 4001)
    return np.interp(logits, _stretched(grid, largest), grid)


def _centred(logs: Array, largest: float) -> Array:
    """Logits of weights, zeros clipped, shifted so that both ends of the range are used alike."""
    top = logs.max(axis=-1, keepdims=True)
    shifted = np.maximum(logs - top, -2 * largest)
    return shifted - shifted.min(axis=-1, keepdims=True) / 2


def _softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _rows(x: Array, largest: float) -> Array:
    probabilities = _softmax(_stretched(x, largest))
    kept = np.where(probabilities < NEGLIGIBLE, 0.0, probabilities)
    return kept / kept.sum(axis=-1, keepdims=True)
