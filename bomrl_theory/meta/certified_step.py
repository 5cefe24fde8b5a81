"""The step size 1/L of gradient ascent, with L from the registered theorems and rounded so that it is none too long.

Those theorems live in a higher layer, so they are looked up when asked for, as the registry looks up its plug-ins.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.learner import Learner
from bomrl_theory.numbers import ENCLOSURES, Array
from bomrl_theory.tasks.policy import from_log_weights


def certified_step(
    solved: Solved, learner: Learner, algorithm: str, lam: Fraction, method: str = "exact"
) -> Callable[[Float64[Array, "S A"]], float]:
    """From logits to a step size of at most ``1/L``, which is constant unless L depends on where one stands.

    L is the Lipschitz constant of the learner's exact gradient over all tasks: of ``meta_smoothness`` for bo-mrl with
    kl-posterior, ``return_smoothness`` for joint, ``maml_ascent`` for maml and for bo-mrl with policy-gradient.

    Raises:
        InvalidTask: no such constant is known, or its theorem asks for a smaller inner step.
    """
    from bomrl_theory.theorems import maml_ascent, meta_stationarity
    from bomrl_theory.theory.case import Case
    from bomrl_theory.theory.constants import gamma, values, w
    from bomrl_theory.theory.constants import lam as lam_
    from bomrl_theory.theory.expression import evaluate, over_tasks
    from bomrl_theory.theory.measured import Measured
    from bomrl_theory.theory.smoothness import SMOOTHNESS, R, n

    known: dict[tuple[str, str], tuple[Any, tuple[Any, ...], bool]] = {
        ("bo-mrl", "kl-posterior"): (meta_stationarity.L_F, (w, R, gamma, n, lam_), False),
        ("bo-mrl", "policy-gradient"): (
            over_tasks(w.symbol * maml_ascent.LOCAL),
            (w, R, gamma, n, lam_, maml_ascent.length),
            True,
        ),
    }
    if learner.name == "joint":
        expression, constants, local = over_tasks(w.symbol * SMOOTHNESS), (w, R, gamma, n), False
    else:
        key = ("bo-mrl" if learner.name == "maml" else learner.name, algorithm)
        if key not in known or method not in ("exact", "implicit"):
            raise InvalidTask(
                f"no smoothness constant is known for '{learner.name}' with {algorithm}, so there is no certified "
                "step; give a step size, or use the rule adam"
                + (" or line-search" if learner.gradient and method != "first-order" else "")
            )
        expression, constants, local = known[key]

    def measured(theta: Float64[Array, "S A"], expression: Any) -> float:
        """An upper bound of the expression over the tasks."""
        with ENCLOSURES.activated():
            m = Measured(Case.new(solved, from_log_weights(theta), algorithm, lam), ENCLOSURES)
            value = evaluate(expression, values(constants, m), ENCLOSURES, m.phi.V.shape)
            return float(np.nextafter(np.max(value.mid + value.rad), np.inf))

    def size(theta: Float64[Array, "S A"]) -> float:
        bound = measured(theta, expression)
        return float(np.nextafter(1 / bound, 0)) if bound > 1e-300 else 1.0

    origin = np.zeros((solved.family.states, solved.family.actions))
    if local:
        (small,) = maml_ascent.THEOREM.assumptions
        if measured(origin, -small.margin) > 0:
            raise InvalidTask(
                f"lambda = {float(lam):g}: maml_ascent certifies steps only for a small inner one, alpha <= 1/L_V; "
                "raise lambda (lower alpha), give a step size, or use the rule adam or line-search"
            )
        return size
    fixed = size(origin)
    return lambda theta: fixed
