"""The data of a case."""

from __future__ import annotations

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import Number, absolute, largest
from bomrl_theory.verify.check.facts import Facts, defines


@defines("gamma", "case", "discount")
def _gamma(x: Facts) -> Number:
    return x.case.tasks[0].gamma


@defines("lambda", "case", "regularisation of the adaptation step")
def _lambda(x: Facts) -> Number:
    return x.case.lam


@defines("A", "case", "number of actions")
def _actions(x: Facts) -> Number:
    return fmpq(len(x.case.tasks[0].actions))


@defines("w", "task", "task weight")
def _weight(x: Facts, tau: int) -> Number:
    return x.case.weights[tau]


@defines("rho", "state", "start distribution")
def _start(x: Facts, tau: int, s: int) -> Number:
    return x.case.tasks[tau].rho[s]


@defines("I", "task", "max |P(s'|s,a) - P(s'|s,0)|: what actions do to the next state")
def _influence(x: Facts, tau: int) -> Number:
    task = x.case.tasks[tau]
    rows = {(s, a): dict(task.P[s][a]) for s in task.states for a in task.actions}
    return largest(
        absolute(rows[s, a].get(z, fmpq(0)) - rows[s, 0].get(z, fmpq(0)))
        for s in task.states
        for a in task.actions
        for z in task.states
    )
