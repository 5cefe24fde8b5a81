"""One task and a policy on it, in exact rationals, by plain loops (THEORY section 0)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import ONE, ZERO, Number, inner, solve, times, total

Policy = list[list[fmpq]]
"""Probabilities [S][A]."""


@dataclass(frozen=True, eq=False)
class Task:
    """A finite discounted Markov decision process.

    Attributes:
        P: for each state and action the successors with positive probability, as (state, probability).
        r: rewards [S][A].
        gamma: discount.
        rho: start distribution [S].
    """

    P: list[list[list[tuple[int, fmpq]]]]
    r: list[list[fmpq]]
    gamma: fmpq
    rho: list[fmpq]

    @property
    def states(self) -> range:
        return range(len(self.r))

    @property
    def actions(self) -> range:
        return range(len(self.r[0]))

    def ahead(self, s: int, a: int, values: list[Number]) -> Number:
        """``sum_s' P(s'|s,a) values(s')``."""
        return total(times(probability, values[successor]) for successor, probability in self.P[s][a])


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A policy on a task. With ``exact`` everything is rational, otherwise in balls."""

    task: Task
    pi: Policy
    exact: bool

    @cached_property
    def _step(self) -> list[list[fmpq]]:
        """``I - gamma P_pi``."""
        task = self.task
        matrix = [[ONE if s == successor else ZERO for successor in task.states] for s in task.states]
        for s in task.states:
            for a in task.actions:
                if self.pi[s][a] != ZERO:
                    for successor, probability in task.P[s][a]:
                        matrix[s][successor] -= task.gamma * self.pi[s][a] * probability
        return matrix

    @cached_property
    def V(self) -> list[Number]:
        """``V = r_pi + gamma P_pi V``."""
        rewards = [inner(self.pi[s], self.task.r[s]) for s in self.task.states]
        return solve(self._step, rewards, exact=self.exact)

    @cached_property
    def Q(self) -> list[list[Number]]:
        """``Q(s,a) = r(s,a) + gamma sum_s' P(s'|s,a) V(s')``."""
        task = self.task
        return [[task.r[s][a] + times(task.gamma, task.ahead(s, a, self.V)) for a in task.actions] for s in task.states]

    @cached_property
    def visited(self) -> list[bool]:
        """Which states have positive visitation: a search on the graph."""
        task = self.task
        found = [task.rho[s] > ZERO for s in task.states]
        waiting = [s for s in task.states if found[s] and task.gamma > ZERO]
        while waiting:
            s = waiting.pop()
            for a in task.actions:
                for successor, _ in task.P[s][a] if self.pi[s][a] > ZERO else ():
                    if not found[successor]:
                        found[successor] = True
                        waiting.append(successor)
        return found

    @cached_property
    def nu(self) -> list[Number]:
        """Normalised discounted visitation: ``nu = (1-gamma) rho + gamma nu P_pi``."""
        task = self.task
        transposed = [list(column) for column in zip(*self._step, strict=True)]
        nu = solve(transposed, [(ONE - task.gamma) * start for start in task.rho], exact=self.exact)
        return [x if seen else ZERO for x, seen in zip(nu, self.visited, strict=True)]

    @cached_property
    def J(self) -> Number:
        """``sum_s rho(s) V(s)``."""
        return inner(self.task.rho, self.V)

    def average(self, s: int, values: list[Number]) -> Number:
        """``sum_a pi(a|s) values(a)``."""
        return inner(self.pi[s], values)


def improving_action(task: Task, actions: list[int]) -> tuple[int, int] | None:
    """A state and an action that beats ``actions`` there; None proves that ``actions`` is optimal.

    Raises:
        Undefined: never for a proper task.
    """
    evaluated = Evaluated(task, deterministic(task, actions), exact=True)
    for s in task.states:
        for a in task.actions:
            if evaluated.Q[s][a] > evaluated.V[s]:
                return s, a
    return None


def deterministic(task: Task, actions: list[int]) -> Policy:
    """The policy that takes ``actions[s]`` at s."""
    return [[ONE if a == actions[s] else ZERO for a in task.actions] for s in task.states]
