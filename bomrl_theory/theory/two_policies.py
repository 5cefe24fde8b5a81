"""What bounds on the difference of two policies' returns read: phi and pi+, whatever pi+ is.

With ``g(s) = <pi+, A^phi>(s)`` the surrogate is ``L = J(phi) + E_{nu^phi} g/(1-gamma)``. None of this supposes that pi+
solves anything, so no inexactness has to be paid for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Shaped

from bomrl_theory.adapt.adapt import ADAPTING
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import g, per_state, per_task, values
from bomrl_theory.theory.draws import Draw, random_lambda, random_policy
from bomrl_theory.theory.measured import Measured

ANY_POLICY = (*ADAPTING, "wrong-task")
"""Where pi+ may come from, for statements about any two policies."""


def _wrong_task(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = random_policy(rng, solved.family.states, solved.family.actions)
    yield Case.new(solved, phi, "wrong-task", random_lambda(rng), origin=origin)


WRONG_TASK = Draw("wrong task", 1, _wrong_task)
"""One random meta-policy, adapted to the next task."""


def absolute(m: Measured, x: Numeric) -> Numeric:
    """``|x|``."""
    return m.numbers.maximum(x, -x)


def surrogate_excess(m: Measured) -> Shaped[Numeric, " T"]:
    """``L(pi+) - J(pi+)``."""
    return m.phi.J + m.numbers.dot(m.phi.nu, values([g], m)["g"]) / (1 - m.model.gamma) - m.plus.J


TV = per_state(
    "TV",
    "TV(pi+, phi) at s",
    "1",
    lambda m: absolute(m, m.plus.pi - m.phi.pi).sum(axis=-1) / 2,
    nonnegative=True,
)
missing = per_task("missing", "L(pi+) - J(pi+): how far the surrogate is above the return", "return", surrogate_excess)
exceeding = per_task(
    "exceeding", "J(pi+) - L(pi+): how far the return is above the surrogate", "return", lambda m: -surrogate_excess(m)
)
g_max = per_task(
    "g_max",
    "max_s |<pi+, A^phi>(s)|",
    "return",
    lambda m: m.numbers.largest(absolute(m, values([g], m)["g"]), -1),
    nonnegative=True,
)
g_span = per_task(
    "g_span",
    "span over s of <pi+, A^phi>(s)",
    "return",
    lambda m: m.numbers.largest(values([g], m)["g"], -1) + m.numbers.largest(-values([g], m)["g"], -1),
    nonnegative=True,
)
nu_change = per_task(
    "nu_change",
    "sum_s |nu+ - nu_phi|: how far the visitation moves",
    "1",
    lambda m: absolute(m, m.plus.nu - m.phi.nu).sum(axis=-1),
    nonnegative=True,
)
