"""Online meta-learning: regret of the average of past optima in squared distance."""

from typing import Any

import sympy as sp

from bomrl_theory.numbers import Numeric
from bomrl_theory.theorems.softmax_gradient_domination import states
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import scalar
from bomrl_theory.theory.expression import Expr
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.online import tasks
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def square(x: Numeric) -> Any:
    """Squared norm over states and actions."""
    return (x * x).sum()


def regret_of_average(m: Measured) -> Any:
    """``sum_t |pi*_t - phi_t|^2/2`` with ``phi_1 = phi`` and phi_t the mean of the optima before, less the best."""
    optima, count = m.star.pi, m.case.family.tasks
    mean = optima.sum(axis=0) / count
    loss, seen = square(optima[0] - m.numbers.normalised(m.case.phi)), optima[0]
    for t in range(1, count):
        loss, seen = loss + square(optima[t] - seen / t), seen + optima[t]
    return (loss - square(optima - mean)) / 2


def increment() -> Expr:
    """The best loss in hindsight grows by (1-1/t) d^2/2 when task t comes at distance d: Welford's recursion."""
    x, mean, t, spread = sp.symbols("x mean t spread", positive=True)
    new = mean + (x - mean) / t
    after = spread + (t - 1) * (new - mean) ** 2 + (x - new) ** 2
    return after - spread - (1 - 1 / t) * (x - mean) ** 2


euclidean_regret = scalar(
    "euclidean_regret",
    "sum_t |pi*_t - phi_t|^2/2 less that of the best fixed policy, phi_t the mean of the optima before task t",
    "1",
    regret_of_average,
)

THEOREM = Theorem(
    id="follow_the_average-v1",
    title="Follow the average: regret of the initialisation in squared distance",
    topic="online meta-learning",
    statement=(
        r"\sum_{t \le T} \frac12 \| \pi^*_t - \phi_t \|^2 - \min_q \sum_{t \le T} \frac12 \| \pi^*_t - q \|^2 \le"
        r" \frac{D^2}{2} (1 + \log T), \quad \phi_{t+1} = \frac1t \sum_{i \le t} \pi^*_i, \quad D^2 = 2S"
    ),
    source=Source(
        "Khodak, Balcan and Talwalkar 2019, Provable guarantees for gradient-based meta-learning; Denevi, Ciliberto,"
        " Grazzi and Pontil 2019, Learning-to-learn stochastic gradient descent with biased regularization",
        "regret of follow-the-average in the squared Euclidean distance",
        "reconstructed",
    ),
    status="proved",
    algorithms=("none",),
    left=euclidean_regret.symbol,
    bound=states.symbol * (1 + sp.log(tasks.symbol)),
    constants=(euclidean_regret, states, tasks),
    witness=lambda: Case.new(two_arms(), [[1, 2**40]], "none"),
    tightness=0.999999,
    notes=(
        "The optima of the family's tasks are the points of the sequence, each once; D is the diameter of the set "
        "of policies, sqrt(2S). The general fact: follow-the-leader on 1-strongly convex losses with gradients up "
        "to D. Here the regret is exactly sum_t d_t^2/(2t) with d_t the distance of task t from the average before "
        "it. Attained for T = 1; at T = 2 two opposite tasks reach 3/2 of 1 + log 2 = 1.693."
    ),
    derivations=(
        Derivation(r"\min_q \sum_{i \le t} \frac12 |x_i - q|^2 \text{ grows by } (1 - 1/t) \frac{d_t^2}{2}", increment),
    ),
    steps=None,
)
