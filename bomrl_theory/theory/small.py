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


def choose_once(gamma: Any = Fraction(9, 10)) -> TaskFamily:
    """State 0: arm 0 pays 1, arm 1 pays 0, and both lead to the absorbing state 1, where nothing is to be chosen."""
    P = [[[[0, 1], [0, 1]], [[0, 1], [0, 1]]]]
    r = [[[1, 0], [0, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0], name="choose-once")


def late_choice(gamma: Any = Fraction(9, 10)) -> TaskFamily:
    """States 0 to 3 lead on by either action; in state 4 arm 0 pays 1 and arm 1 nothing, and state 5 is the end."""
    following = [1, 2, 3, 4, 5, 5]
    P = [[[[float(z == following[x]) for z in range(6)]] * 2 for x in range(6)]]
    r = [[[0, 0], [0, 0], [0, 0], [0, 0], [1, 0], [0, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0, 0, 0, 0, 0], name="late-choice")


def fork(gamma: Any = Fraction(1, 2)) -> TaskFamily:
    """State 0: right (reward 1/16) to state 1 or left to state 2, both for ever; state 1: win (reward 1) or nothing."""
    P = [[[[0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 1]]]]
    r = [[[Fraction(1, 16), 0], [1, 0], [0, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0, 0], name="fork")


def go_or_wait() -> TaskFamily:
    """State 0: go (no reward) to state 1, or wait (reward 3/512); state 1: win (reward 1) or nothing, for ever.

    With discount 1/128 waiting looks better than going to whoever tosses a coin in state 1, and is worse.
    """
    P = [[[[0, 1], [1, 0]], [[0, 1], [0, 1]]]]
    r = [[[0, Fraction(3, 512)], [1, 0]]]
    return TaskFamily.new(P, r, Fraction(1, 128), [1, 0], name="go-or-wait")


def gather(gamma: Any = Fraction(1, 1000)) -> TaskFamily:
    """Two equally likely starts; the better action leads to state 0 from either, and earns 5 there and 1 in state 1."""
    P = [[[[1, 0], [0, 1]], [[1, 0], [0, 1]]]]
    r = [[[5, 0], [1, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 1], name="gather", row_weights=True)


def opposite_arms(gamma: Any = Fraction(1, 2), *, weights: tuple[int, int] = (1, 1)) -> TaskFamily:
    """Two tasks with one state; each pays 1 for the arm that the other does not pay for."""
    P = [[[[1], [1]]]] * 2
    return TaskFamily.new(P, [[[1, 0]], [[0, 1]]], gamma, [1], weights, name="opposite-arms")


def late_reward() -> TaskFamily:
    """State 0: left (pays nothing) to state 1, which pays 4095 for ever, or right (1/1024) to state 2, which costs it.

    With discount 1/4096 what follows is worth 1 or -1, and a return that is cut after one reward does not see it.
    """
    P = [[[[0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 1]]]]
    r = [[[0, Fraction(1, 1024)], [4095, 4095], [-4095, -4095]]]
    return TaskFamily.new(P, r, Fraction(1, 4096), [1, 0, 0], name="late-reward")
