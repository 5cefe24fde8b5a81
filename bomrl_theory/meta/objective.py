"""The meta-objective ``F(theta) = E_tau J_tau(Alg(softmax(theta)))`` (THEORY section 8), in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.policy import from_log_weights


@dataclass(frozen=True, eq=False)
class Adapted:
    """One adaptation of the meta-policy to every task.

    Attributes:
        algorithm: which one.
        lam: regularisation lambda.
        phi: the meta-policy's evaluation.
        plus: the adapted policies' evaluation.
        step: what the algorithm's solver returned.
    """

    algorithm: Algorithm
    lam: float
    phi: Evaluation
    plus: Evaluation
    step: Step

    @classmethod
    def of(
        cls, solved: Solved, theta: Float64[Array, "S A"], algorithm: str | Algorithm = "kl-posterior", lam: float = 1.0
    ) -> Adapted:
        """Adapt ``softmax(theta)``; use it inside ``FLOATS.activated()``.

        Raises:
            InvalidTask: logits of the wrong shape or not finite, or lambda not positive and finite.
            UnknownName: no such algorithm.
        """
        shape = (solved.family.states, solved.family.actions)
        if theta.shape != shape or not np.all(np.isfinite(theta)):
            raise InvalidTask(f"the logits must be finite with shape {list(shape)}; got shape {list(theta.shape)}")
        if not (lam > 0 and np.isfinite(lam)):
            raise InvalidTask(f"lambda = {lam} must be positive and finite")
        chosen = algorithm_named(algorithm) if isinstance(algorithm, str) else algorithm
        phi = solved.evaluate(from_log_weights(theta), FLOATS)
        step = chosen.solve(phi, lam)
        return cls(chosen, lam, phi, Evaluation.of(phi.model, step.policy), step)

    @property
    def value(self) -> float:
        """F, the expected return after adaptation."""
        return float(self.phi.model.w @ self.plus.J)


def objective(solved: Solved, theta: Float64[Array, "S A"], algorithm: str | Algorithm, lam: float) -> float:
    """``F(theta)``; raises as :meth:`Adapted.of`."""
    with FLOATS.activated():
        return Adapted.of(solved, theta, algorithm, lam).value
