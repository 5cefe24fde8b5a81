"""Small families, built by hand, that several theorems use as witnesses."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from bomrl_theory.tasks.family import TaskFamily


def corridor(gamma: Any = Fraction(9, 10)) -> TaskFamily:
    """State 0 leads to state 1 by either action; there action 0 earns 1 and action 1 nothing, forever.

    All that adaptation can gain lies one step ahead of the start, where the contraction bound lets
    it gain nothing: with a large lambda the bound is attained.
    """
    P = [[[[0, 1], [0, 1]], [[0, 1], [0, 1]]]]
    r = [[[0, 0], [1, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0], name="corridor")


def stay_or_leave(gamma: Any = Fraction(4, 5)) -> TaskFamily:
    """State 0: stay (reward 1) or leave (reward 0) to the absorbing state 1, which also pays 1."""
    P = [[[[1, 0], [0, 1]], [[0, 1], [0, 1]]]]
    r = [[[1, 0], [1, 1]]]
    return TaskFamily.new(P, r, gamma, [1, 0], name="stay-or-leave")


def two_arms(gamma: Any = Fraction(1, 2)) -> TaskFamily:
    """One state; arm 0 pays 1, arm 1 pays 0."""
    return TaskFamily.new([[[[1], [1]]]], [[[1, 0]]], gamma, [1], name="two-arms")


def hold_or_fall(gamma: Any = Fraction(99, 100)) -> TaskFamily:
    """State 0: hold (reward 1) or fall (reward -1) to the absorbing state 1, which costs 1 for ever."""
    P = [[[[1, 0], [0, 1]], [[0, 1], [0, 1]]]]
    r = [[[1, -1], [-1, -1]]]
    return TaskFamily.new(P, r, gamma, [1, 0], name="hold-or-fall")


def keep_or_lose(gamma: Any = Fraction(999_999, 1_000_000)) -> TaskFamily:
    """State 0: keep (reward 1) or lose (reward 0) for ever in the absorbing state 1, which pays nothing."""
    P = [[[[1, 0], [0, 1]], [[0, 1], [0, 1]]]]
    r = [[[1, 0], [0, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0], name="keep-or-lose")


def swing(gamma: Any = Fraction(1, 1000)) -> TaskFamily:
    """State 0: action 0 (reward 1) leads to state 1, action 1 (reward 0) stays; in state 1, for ever, action 1 pays 1.

    With a small discount what an action leads to and what it pays are separate choices of the same size.
    """
    P = [[[[0, 1], [1, 0]], [[0, 1], [0, 1]]]]
    r = [[[1, 0], [0, 1]]]
    return TaskFamily.new(P, r, gamma, [1, 0], name="swing")


def gain_or_loss(gamma: Any = Fraction(1, 2)) -> TaskFamily:
    """One state; arm 0 pays 1, arm 1 costs 1: under the uniform policy the value is zero, its slope is not."""
    return TaskFamily.new([[[[1], [1]]]], [[[1, -1]]], gamma, [1], name="gain-or-loss")


def crossroads(gamma: Any = Fraction(1, 2**30)) -> TaskFamily:
    """State 0: action 0 (reward 2^-10) leads to state 1, action 1 to state 2; in both, for ever, action 0 pays 1."""
    P = [[[[0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 1]]]]
    r = [[[2**-10, 0], [1, 0], [1, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0, 0], name="crossroads")


def distant_choice(gamma: Any = Fraction(1, 2)) -> TaskFamily:
    """Four steps of corridor, whatever one does, and then for ever a choice between 1 and nothing."""
    successors = [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]
    P = [[[row, row] for row in successors]]
    r = [[[0, 0], [0, 0], [0, 0], [0, 0], [1, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0, 0, 0, 0], name="distant-choice")
