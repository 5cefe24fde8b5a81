"""Performance difference lemma: the identity under every bound here."""

from fractions import Fraction
from typing import Any

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import g, gamma, improvement, nu_plus
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import stay_or_leave
from bomrl_theory.theory.theorem import ADAPTING, Derivation, Source, Theorem


class SymbolicTask:
    """Two states, two actions, every number a symbol; and two policies on it."""

    def __init__(self) -> None:
        self.discount, x0, x1, y0, y1, start = sp.symbols("g x0 x1 y0 y1 start")
        self.to_zero: Any = sp.Matrix(2, 2, sp.symbols("p00 p01 p10 p11"))  # P(0 | s, a)
        self.reward: Any = sp.Matrix(2, 2, sp.symbols("r00 r01 r10 r11"))
        self.rho = sp.Matrix([[start, 1 - start]])
        self.pi, self.V, self.nu = self._evaluate(x0, x1)
        _, self.V_old, self.nu_old = self._evaluate(y0, y1)

    def _evaluate(self, first: Any, second: Any) -> tuple[Any, Any, Any]:
        """The policy, its value and its visitation."""
        pi: Any = sp.Matrix([[first, 1 - first], [second, 1 - second]])
        zero = [sum(pi[s, a] * self.to_zero[s, a] for a in (0, 1)) for s in (0, 1)]
        system = sp.eye(2) - self.discount * sp.Matrix([[z, 1 - z] for z in zero])
        inverse = system.adjugate() / sp.expand(system.det())
        V = inverse * sp.Matrix([sum(pi[s, a] * self.reward[s, a] for a in (0, 1)) for s in (0, 1)])
        return pi, V, (1 - self.discount) * self.rho * inverse

    def difference(self, visitation: Any) -> Any:
        """The right side of the lemma under this visitation, less ``J(pi) - J(phi)``."""
        gains = []
        for state in (0, 1):
            Q = [
                self.reward[state, a]
                + self.discount
                * (self.to_zero[state, a] * self.V_old[0] + (1 - self.to_zero[state, a]) * self.V_old[1])
                for a in (0, 1)
            ]
            gains.append(sum(self.pi[state, a] * (Q[a] - self.V_old[state]) for a in (0, 1)))
        left = (self.rho * (self.V - self.V_old))[0]
        return (visitation[0] * gains[0] + visitation[1] * gains[1]) / (1 - self.discount) - left


def _on_two_states() -> Any:
    task = SymbolicTask()
    return sp.cancel(task.difference(task.nu))


DERIVATIONS = (
    Derivation("the identity for two states and two actions, with every number of the task a symbol", _on_two_states),
    Derivation(
        "the visitation sums to 1 (two states)",
        lambda: sp.cancel(sum(SymbolicTask().nu) - 1),
    ),
)

THEOREM = Theorem(
    id="performance_difference-v1",
    title="Performance difference lemma",
    topic="policy optimisation",
    statement=r"J(\pi) - J(\phi) = \frac{1}{1-\gamma} \sum_s \nu^{\pi}(s) \langle \pi(s), A^{\phi}(s,\cdot) \rangle",
    source=Source(
        "Kakade and Langford 2002, Approximately optimal approximate reinforcement learning",
        "Lemma 6.1",
        "from memory",
    ),
    status="proved",
    algorithms=ADAPTING,
    left=improvement.symbol,
    relation="==",
    bound=over_states(nu_plus.symbol * g.symbol) / (1 - gamma.symbol),
    constants=(improvement, gamma, nu_plus, g),
    witness=lambda: Case.new(stay_or_leave(), [[1, 9], [1, 1]], "kl-posterior", Fraction(1, 10)),
    tightness=1.0,
    proof="proofs/performance_difference.md",
    derivations=DERIVATIONS,
    notes="An identity: verdicts are decided in exact rational arithmetic, for the adapted policy pi+.",
    steps=None,
)
