"""From anything violated to a counterexample that a person can check."""

from __future__ import annotations

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.search import Search, Settings
from bomrl_theory.verify.shrink import complexity, shrunk, violation
from bomrl_theory.verify.verdict import Verdict

SMALL = (2, 3, 2)
"""Tasks, states and actions that a person can follow."""
SEARCHED_SIZES = ((1, 2, 2), (1, 3, 2), (2, 2, 2))
"""Where a small counterexample is searched for from scratch if a large one does not shrink so far."""
STARTS, STARTS_SECONDS = 4, 5.0


def smallest_counterexample(theorem: Theorem, case: Case, verdict: Verdict) -> tuple[Case, Verdict]:
    """The smallest certified counterexample found from a violated case, and its verdict.

    The case is shrunk; should it stay larger than :data:`SMALL`, small ones are searched for, too. A verdict that is
    not certified, on a task too large for exact arithmetic, is returned as it is.
    """
    if not verdict.certified:
        return case, verdict
    found = shrunk(case, lambda variant: violation(theorem, variant) is not None)
    if any(size > small for size, small in zip(complexity(found)[:3], SMALL, strict=True)):
        for tasks, states, actions in SEARCHED_SIZES:
            settings = Settings(
                states=states,
                actions=actions,
                tasks=tasks,
                steps=case.steps if theorem.steps is None else None,
                starts=STARTS,
                seconds=STARTS_SECONDS,
                algorithm=case.algorithm.name,
            )
            other = Search(theorem, settings).run()
            if other.violated and other.simple is not None:
                found = min(found, other.simple, key=complexity)
                break
    return found, violation(theorem, found) or verdict
