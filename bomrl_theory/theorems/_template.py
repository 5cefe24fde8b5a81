"""A theorem file to copy: reward range bound on the gap without adaptation, Kullback-Leibler form.

Copy this file to ``my_bound.py``, change it from top to bottom, and run ``bomrl verify my_bound.py``. Inside
the package the file's stem, the id without its version and the stem of the proof are one name. Discovery
skips files whose name starts with an underscore, so this one is not in the registry. docs/tutorial.md writes
such a file from nothing, sees it refuted and repairs it.

Maths, with ``R = max r - min r`` and p = phi(a*|s):

    J* - J(phi) <= R / (1-gamma)^2  sum_s nu^phi(s) KL(pi* || phi)(s),   KL(pi* || phi)(s) = -log p.

Proof. The performance difference lemma from the optimum's side (proofs/no_adaptation.md) gives
``J* - J(phi) = 1/(1-gamma) sum_s nu^phi(s) sum_a phi(a|s) (V*(s) - Q*(s,a))``. The summand with a = a* is
zero. Every other one has ``V* - Q* = r(s,a*) - r(s,a) + gamma <P(s,a*) - P(s,a), V*> <= R + gamma span V*
<= R/(1-gamma)``, because ``span V* <= R/(1-gamma)``. The other actions together have probability
``1 - p <= -log p``.
"""

import sympy as sp

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap_phi, nu_phi, p, per_task
from bomrl_theory.theory.expression import over_states, positive
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import hold_or_fall
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def reward_range(m: Measured) -> Numeric:
    """``max r - min r`` for each task [T].

    A measurement is written once, on arrays, and runs in floats, balls and rationals: take constants
    from ``m.model``, ``m.phi``, ``m.plus`` and ``m.star``, and functions from ``m.numbers``.
    """
    rewards = m.model.r.reshape(len(m.model.r), -1)
    return m.numbers.largest(rewards, -1) + m.numbers.largest(-rewards, -1)


# A quantity of your own: symbol, meaning, unit, measurement, and what SymPy may assume of it. Assume
# only what is true of every case: SymPy simplifies with it. theory/constants.py has the usual ones.
R = per_task("R", "max r - min r", "reward", reward_range, nonnegative=True)

# A plain SymPy symbol for derivations: a positive number, without a task or a state.
SHARE = positive("p")

THEOREM = Theorem(
    # A changed statement or constant is a new version: reward_range-v2.
    id="reward_range-v1",
    title="Optimality gap without adaptation, reward range",
    statement=(
        r"J^* - J(\phi) \le \frac{\max r - \min r}{(1-\gamma)^2}"
        r" \sum_s \nu^{\phi}(s)\, \mathrm{KL}(\pi^* \| \phi)(s)"
    ),
    # Its heading in lists: one of TOPICS in theory/theorem.py for an entry of the registry; "yours" otherwise.
    topic="yours",
    # How wording and constants came to us: derived here, as published, reconstructed or from memory.
    source=Source("you, year, title", "theorem 1", "derived here"),
    # "proved": a violation is an error. "refuted": the witness must violate it. "conjectured": nobody knows.
    status="proved",
    # Which adaptation it speaks about; ("none",) for the meta-policy itself.
    algorithms=("none",),
    # left <= bound, as SymPy expressions in the constants' symbols. Every symbol must be listed below, and
    # nothing may depend on the state any more: sum or maximise over s. What still depends on the
    # task is claimed of every task; over_tasks(w.symbol * ...) makes it a claim about the average.
    left=gap_phi.symbol,
    bound=R.symbol / (1 - gamma.symbol) ** 2 * over_states(nu_phi.symbol * -sp.log(p.symbol)),
    constants=(gap_phi, R, gamma, nu_phi, p),
    # Conditions beyond a valid case, each an expression that must be >= 0; where one fails the case is out
    # of scope. Example: Assumption("large lambda", r"$\lambda \ge 1$", lam.symbol - 1, broken=lambda: ...).
    # broken is a case where this assumption fails and the others hold, and where the claim is violated without
    # it: so the assumption is needed. If you know of no violation give a case all the same, and needed=False;
    # lists then say that nobody knows whether it matters. The registry's tests ask for it with every assumption.
    assumptions=(),
    # The case with the largest left/bound that you know, and a number that the ratio must reach.
    witness=lambda: Case.new(hold_or_fall(), [[2**20, 1], [2**40, 1]], "none"),
    tightness=0.999999,
    # Further cases, each of which needs a constant of the bound that the witness does not, as a bandit, where
    # gamma = 0, needs no power of 1-gamma. Example: probes=(lambda: Case.new(hold_or_fall(), ...),).
    probes=(),
    # Steps of the proof that SymPy runs, in the tests and in bomrl show: a claim, and what is zero if it is right.
    derivations=(
        Derivation(
            r"$-\log p - (1-p)$ is zero at $p = 1$ and has the slope $-(1-p)/p \le 0$, so $1-p \le -\log p$",
            lambda: sp.diff(-sp.log(SHARE) - (1 - SHARE), SHARE) + (1 - SHARE) / SHARE,
        ),
    ),
    # Further ways to draw random cases, where the common ones seldom meet the assumptions: draws=(LARGE_LAMBDA,),
    # see theory/draws.py.
    draws=(),
    # In the package: "proofs/reward_range.md".
    proof=None,
    notes="Not in the registry. Tight for every gamma: the witness's ratio tends to 1 with phi(a*|s).",
    # Finite MDPs; "linear-quadratic" for continuous control with a known optimum (docs/linear_quadratic.md).
    setting="tabular",
    # How many adaptation steps it speaks about; None for any.
    steps=None,
)
