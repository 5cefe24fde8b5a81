"""Online meta-learning: task-averaged optimality gap of mirror descent from the running average."""

from fractions import Fraction

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, gap, lam
from bomrl_theory.theory.expression import over_tasks
from bomrl_theory.theory.mirror_descent import K
from bomrl_theory.theory.online import (
    SEQUENCE,
    action_logs,
    average_rounding,
    fixed_loss,
    state_logs,
    tasks,
    within_drift,
)
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

INITIAL = fixed_loss.symbol + state_logs.symbol + action_logs.symbol + average_rounding.symbol
"""What the initialisations of all tasks lose at most: the best fixed one's loss, and the regret."""

THEOREM = Theorem(
    id="online_task_average-v1",
    title="Online initialisation: task-averaged optimality gap",
    topic="online meta-learning",
    statement=(
        r"\frac1T \sum_{t \le T} [J^*_t - J_t(\pi_{t,k})] \le \frac{1}{k+1} \left( \frac{\lambda}{1-\gamma}"
        r" \left[ \min_q \frac1T \sum_t \mathbb{E}_{\nu^*_t} \mathrm{KL}(\pi^*_t \| q) + \frac{U_T}{T} \right]"
        r" + \frac{1}{T} \sum_t \frac{R_t}{(1-\gamma)^2} \right)"
    ),
    source=Source(
        "Khattar, Ding, Sel, Lavaei and Jin 2023, A CMDP-within-online framework for meta-safe reinforcement learning;"
        " Khodak, Balcan and Talwalkar 2019, Adaptive gradient-based meta-learning methods",
        "task-averaged optimality gap, without constraints, with explicit constants",
        "reconstructed",
    ),
    status="proved",
    algorithms=("online-average",),
    left=over_tasks(gap.symbol) / tasks.symbol,
    bound=(
        lam.symbol / (1 - gamma.symbol) * INITIAL
        + over_tasks(R.symbol) / (1 - gamma.symbol) ** 2
        + over_tasks(within_drift.symbol) / (1 - gamma.symbol)
    )
    / (tasks.symbol * K.symbol),
    constants=(
        gap,
        tasks,
        lam,
        gamma,
        fixed_loss,
        state_logs,
        action_logs,
        average_rounding,
        R,
        within_drift,
        K,
    ),
    witness=lambda: Case.new(two_arms(0), [[1, 2.0**900]], "online-average", Fraction(1, 614), steps=2),
    tightness=0.9,
    notes=(
        "The algorithm is run: every task starts from the running average of the optima before it and takes k = K-1 "
        "steps of Alg^(2); the first of the K steps of the case sets the average. U_T is the bound of "
        "online_initialisation, and the per-task bound is mirror_descent_sublinear. The published results are "
        "orders of magnitude with estimated optima and constraints; their structure, similarity of tasks plus "
        "regret over T, is kept, the constants are ours. Terms in drift and rounding pay for floating point."
    ),
    steps=None,
    draws=(SEQUENCE,),
)
