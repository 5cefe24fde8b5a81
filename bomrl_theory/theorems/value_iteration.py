"""Value iteration converges geometrically."""

from collections.abc import Iterator

import numpy as np

from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import per_task
from bomrl_theory.theory.draws import Draw, random_policy
from bomrl_theory.theory.greedy import V_gap_phi, gamma_K
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem


def distance_after_steps(m: Measured) -> Numeric:
    """``max_s |V* - T^K V^phi|`` [T]."""
    V = m.phi.V
    for _ in range(m.case.steps):
        V = m.numbers.largest(m.model.action_value(V), -1)
    return m.numbers.largest(m.numbers.maximum(m.star.V - V, V - m.star.V), -1)


def _sweeps(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = random_policy(rng, solved.family.states, solved.family.actions)
    yield Case.new(solved, phi, "none", steps=int(rng.integers(2, 9)), origin=origin)


SWEEPS = Draw("sweeps of value iteration", 1, _sweeps)

V_gap_K = per_task(
    "V_gap_K",
    "max_s |V*(s) - (T^K V^phi)(s)|: K sweeps of value iteration from V^phi",
    "return",
    distance_after_steps,
    nonnegative=True,
)

THEOREM = Theorem(
    id="value_iteration-v1",
    title="Value iteration is a contraction",
    topic="policy optimisation",
    statement=r"\| V^* - T^K V^{\phi} \|_{\infty} \le \gamma^K \| V^* - V^{\phi} \|_{\infty}",
    source=Source(
        "Bellman 1957; Denardo 1967, Contraction mappings in the theory underlying dynamic programming",
        "see Puterman 1994, section 6.3",
        "from memory",
    ),
    status="proved",
    algorithms=("none",),
    left=V_gap_K.symbol,
    bound=gamma_K.symbol * V_gap_phi.symbol,
    constants=(V_gap_K, gamma_K, V_gap_phi),
    witness=lambda: Case.new(two_arms(), [[1, 3]], "none", steps=5),
    tightness=1.0,
    notes=(
        "The sweeps are run exactly, from the value of the meta-policy; the number of steps of the case is the "
        "number of sweeps. Attained whenever transitions do not depend on actions."
    ),
    steps=None,
    draws=(SWEEPS,),
)
