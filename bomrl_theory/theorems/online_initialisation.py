"""Online meta-learning: regret of the running average as initialisation, in Kullback-Leibler divergence."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.online import action_logs, regret, state_logs
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="online_initialisation-v1",
    title="Online initialisation: regret of the running average",
    topic="online meta-learning",
    statement=(
        r"\sum_{t \le T} \mathbb{E}_{\nu^*_t} \mathrm{KL}(\pi^*_t \| \phi_t) - \min_q \sum_{t \le T}"
        r" \mathbb{E}_{\nu^*_t} \mathrm{KL}(\pi^*_t \| q) \le \sum_s \left[ 1 + \log(1 + N(s))"
        r" + \sum_a \log\left(1 + \frac{n(s,a)}{\phi(a|s)} \right) \right],"
        r" \quad \phi_t = \frac{\phi + \sum_{i<t} \nu^*_i \pi^*_i}{1 + \sum_{i<t} \nu^*_i}"
    ),
    source=Source(
        "bomrl_theory, after Khodak, Balcan and Talwalkar 2019, Adaptive gradient-based meta-learning methods",
        "follow-the-average in the geometry of Alg^(2)",
        "derived here",
    ),
    status="proved",
    algorithms=("none",),
    left=regret.symbol,
    bound=state_logs.symbol + action_logs.symbol,
    constants=(regret, state_logs, action_logs),
    witness=lambda: Case.new(two_arms(), [[1, 2.0**900]], "none"),
    tightness=0.997,
    proof="proofs/online_initialisation.md",
    notes=(
        "The tasks of the family are the sequence, each once, whatever their weights; N and n are the sums of nu* "
        "and nu* pi* over all of them, and states that no optimum visits do not count. The averages are exact. "
        "Logarithmic in the number of tasks, while the loss of the best fixed initialisation grows linearly: it is "
        "T times the task variance for equal weights."
    ),
    steps=None,
)
