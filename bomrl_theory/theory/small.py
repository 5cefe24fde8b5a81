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


def swapped_keep_or_lose(gamma: Any = Fraction(999_999, 1_000_000)) -> TaskFamily:
    """Two tasks of keep_or_lose that differ in which action keeps: nothing can be told from one about the other."""
    keep, lose, lost = [1, 0], [0, 1], [[0, 1], [0, 1]]
    P = [[[keep, lose], lost], [[lose, keep], lost]]
    r = [[[1, 0], [0, 0]], [[0, 1], [0, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0], name="swapped keep-or-lose")


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


def fork(gamma: Any = Fraction(1, 2**20), *, lure: bool = True, stake: float = 1) -> TaskFamily:
    """Two tasks. State 0 leads to one of the absorbing states 1 and 2, where the actions have rewards 1 and -1.

    State 2 rewards action 0 in both tasks, state 1 rewards action 0 in the first and action 1 in the second. So a
    policy adapted to the other task does harm in state 1 and good in state 2. Action 0 earns the stake in state 0,
    action 1 loses it; action 0 leads to state 1 with ``lure``, otherwise to state 2.
    """
    first, second = ([0, 1, 0], [0, 0, 1]) if lure else ([0, 0, 1], [0, 1, 0])
    P = [[first, second], [[0, 1, 0]] * 2, [[0, 0, 1]] * 2]
    r = [[[stake, -stake], [1, -1], [1, -1]], [[stake, -stake], [-1, 1], [1, -1]]]
    return TaskFamily.new([P, P], r, gamma, [1, 0, 0], name="fork")


def wait_or_invest(*, aside: bool = False) -> TaskFamily:
    """State 0: invest (reward -1) and go to state 1 for good, or wait (reward just above -1/2). gamma = 1/2.

    State 1 pays 1 for action 0 and nothing for action 1. Whoever expects action 1 there finds waiting as good as
    investing, and waits for ever. With ``aside`` every other start is in state 2, where nothing is to be chosen.
    """
    P = [[[0, 1, 0], [1, 0, 0]], [[0, 1, 0]] * 2, [[0, 0, 1]] * 2]
    r = [[-1, -0.5 + 2.0**-30], [1, 0], [0, 0]]
    if aside:
        return TaskFamily.new([P], [r], Fraction(1, 2), [0.5, 0, 0.5], name="wait-or-invest")
    P = [[row[:2] for row in rows] for rows in P[:2]]
    return TaskFamily.new([P], [r[:2]], Fraction(1, 2), [1, 0], name="wait-or-invest")


def two_exits(gamma: Any = Fraction(999, 1000)) -> TaskFamily:
    """Two tasks. In state 0 action 0 stays, without reward, and the others lead to state 1.

    There action 0 stays and pays 1, action 1 leads to state 2 and action 2 to state 3, for good. State 3 pays a little
    more than 1 in the first task and nothing in the second, state 2 the other way round: a policy adapted to the
    other task ruins itself in state 1.
    """
    good, P = 1 + 2.0**-8, [[[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]], [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]]
    P += [[[0, 0, 1, 0]] * 3, [[0, 0, 0, 1]] * 3]
    r = [[[0, 0, 0], [1, 0, 0], [0, 0, 0], [good] * 3], [[0, 0, 0], [1, 0, 0], [good] * 3, [0, 0, 0]]]
    return TaskFamily.new([P, P], r, gamma, [1, 0, 0, 0], name="two-exits")


def one_good_arm(arms: int) -> TaskFamily:
    """One state, gamma = 0; the first arm pays 1, the others nothing."""
    return TaskFamily.new([[[[1]] * arms]], [[[1] + [0] * (arms - 1)]], 0, [1], name="one-good-arm")


def wait_then_hold(gamma: Any = 1 - Fraction(1, 2**40), patience: int = 2**26) -> TaskFamily:
    """State 0: wait (to state 1 with chance 1/patience) or give up; state 1: hold (reward 1) or fall; state 2: nothing.

    Under a meta-policy that seldom gives up, yet sooner than the wait is over, nearly every loss happens in
    state 0, where it costs little divergence, while the optimum collects its reward in state 1.
    """
    P = [[[[patience - 1, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1]], [[0, 0, 1], [0, 0, 1]]]]
    r = [[[0, 0], [1, 0], [0, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0, 0], name="wait-then-hold", row_weights=True)


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


def junction(gamma: Any = Fraction(1, 2)) -> TaskFamily:
    """State 0: right (reward 1/16) to state 1 or left to state 2, both for ever; state 1: win (reward 1) or nothing."""
    P = [[[[0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 1]]]]
    r = [[[Fraction(1, 16), 0], [1, 0], [0, 0]]]
    return TaskFamily.new(P, r, gamma, [1, 0, 0], name="junction")


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
