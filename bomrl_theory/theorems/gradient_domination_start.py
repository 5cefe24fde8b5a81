"""Gradient domination for direct parametrisation, with the start distribution."""

from bomrl_theory.theorems.gradient_domination import ASCENT, A_best
from bomrl_theory.theorems.gradient_domination import THEOREM as A_POSTERIORI
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap_phi, nu_phi
from bomrl_theory.theory.mirror_descent import covered, theta, uncovered
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="gradient_domination_start-v1",
    title="Gradient domination, direct parametrisation, with the start distribution",
    topic="policy optimisation",
    statement=(
        r"J^* - J(\phi) \le \frac{1}{1-\gamma} \max_s \frac{\nu^*(s)}{\rho(s)} \; \max_{q} \langle q - \phi,"
        r" \nabla J(\phi) \rangle"
    ),
    source=Source(A_POSTERIORI.source.work, "Lemma 4 (Lemma 4.1 of the preprint), second inequality", "from memory"),
    status="proved",
    algorithms=("none",),
    left=gap_phi.symbol,
    bound=theta.symbol * ASCENT,
    constants=(gap_phi, theta, gamma, nu_phi, A_best, uncovered),
    assumptions=(covered("none"),),
    witness=lambda: Case.new(two_arms(0), [[1, 3]], "none"),
    tightness=1.0,
    notes=(
        "From gradient_domination with nu^phi >= (1-gamma) rho. Attained only with gamma = 0: for gamma > 0 it "
        "loses the factor by which nu^phi exceeds (1-gamma) rho."
    ),
    steps=None,
)
