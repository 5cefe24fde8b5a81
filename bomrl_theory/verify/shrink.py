"""The smallest case that still shows something: fewest tasks, states and actions, then the simplest numbers.

Delta debugging with passes made for tasks: leave out tasks, states (their probability goes elsewhere), actions and
steps; then replace numbers by simpler ones. A variant is accepted where it is simpler (:func:`complexity`) and still
shows what the original did, by a certified verdict. Nothing is random, so the result is the same every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from math import gcd

import numpy as np

from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.verdict import Outcome, Verdict, judge

BUDGET = 4000
"""Variants judged at most; a small case needs a few hundred, at about a millisecond each."""
FEW_STATES = 6
"""From here on a state's probability is offered to each of the other states in turn."""
FEW_ACTIONS = 6
"""Up to this many actions pairs of them are merged."""
DISCOUNTS = tuple(
    Fraction(n, d) for n, d in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (9, 10), (19, 20), (99, 100), (999, 1000))
)
DENOMINATORS = (1, 2, 3, 4, 5, 8, 10, 16, 20, 50, 100, 1000)
PARTS = (1, 2, 3, 4, 5, 8, 10, 16, 20, 100, 1000)
"""A row is rounded to these many equal parts."""
EXPONENTS = (1, 2, 3, 4, 5, 6, 8, 10, 16, 20, 30, 40, 52)
DIGITS = (0, 1, 2, 3, 4, 6, 8)
"""Binary digits that rewards are rounded to, besides the leading one."""


def violation(theorem: Theorem, case: Case, *, precise: bool = False) -> Verdict | None:
    """A certified VIOLATED verdict of the theorem on the case, if there is one."""
    verdicts = verdicts_on(theorem, case, precise=precise)
    return next((v for v in verdicts if v.outcome is Outcome.VIOLATED and v.certified), None)


def verdicts_on(theorem: Theorem, case: Case, *, precise: bool = False) -> list[Verdict]:
    """The theorem's verdicts on a case that nobody chose; none where it does not speak about the case.

    Simpler numbers make quantities zero. A claim that divides by one of them says nothing there.
    """
    try:
        return judge(theorem, case, precise=precise) if theorem.covers(case) else []
    except ZeroDivisionError:
        return []


def shrunk(case: Case, shows: Callable[[Case], bool], *, budget: int = BUDGET) -> Case:
    """The simplest case that the passes reach and that ``shows``; ``case`` itself must."""
    tried: set[bytes] = set()
    best, cost = case, complexity(case)
    moved = True
    while moved:
        moved = False
        for variants in PASSES:
            again = True
            while again:
                again = False
                for variant in variants(best):
                    name = _fingerprint(variant)
                    if name in tried or len(tried) >= budget:
                        continue
                    simpler = complexity(variant)
                    if simpler >= cost:
                        continue
                    tried.add(name)
                    if shows(variant):
                        best, cost, moved, again = variant, simpler, True, True
                        break
    return next((tidy for tidy in _tidied(best) if shows(tidy)), best)


# --- how simple a case is -------------------------------------------------------------------------


def complexity(case: Case) -> tuple[int, ...]:
    """Tasks, states, actions and steps, in this order; then what it takes to write down all numbers."""
    family = case.family
    rows = [*family.P.reshape(-1, family.states), *family.rho, family.weights, *case.phi]
    numbers = sum(_whole_cost(x) for row in rows for x in whole_weights(row))
    numbers += sum(_cost(*x.as_integer_ratio()) for x in family.r.ravel().tolist())
    numbers += sum(_cost(x.numerator, x.denominator) for x in (case.lam, family.gamma))
    return family.tasks, family.states, family.actions, case.steps, numbers


def whole_weights(row: Array) -> list[int]:
    """The smallest whole numbers in the same exact proportions."""
    ratios = [x.as_integer_ratio() for x in row.tolist()]
    scale = max(below for _, below in ratios)  # denominators of doubles are powers of two
    whole = [above * (scale // below) for above, below in ratios]
    return [x // (gcd(*whole) or 1) for x in whole]


def _tidied(case: Case) -> Iterator[Case]:
    """The same with the starts first and every row of weights in smallest whole numbers that doubles can hold."""

    def tidy(rows: Array) -> Array:
        flat = rows.reshape(-1, rows.shape[-1])
        whole = [whole_weights(row) for row in flat]
        small = [row if max(row) <= 2**53 else old.tolist() for row, old in zip(whole, flat, strict=True)]
        return np.array(small, dtype=np.float64).reshape(rows.shape)

    family = case.family
    order = np.argsort(-family.rho.sum(axis=0), kind="stable")
    yield from _changed(
        case,
        P=tidy(family.P[:, order][..., order]),
        r=family.r[:, order],
        rho=tidy(family.rho[:, order]),
        w=tidy(family.weights[None])[0],
        phi=tidy(case.phi[order]),
    )


def _cost(above: int, below: int) -> int:
    """Of a fraction: nothing for 0, little for 1 and powers of two, more for more digits."""
    return _whole_cost(above) + (_whole_cost(below) if below > 1 else 0) + (above < 0)


def _whole_cost(x: int) -> int:
    if x == 0:
        return 0
    twos = (abs(x) & -abs(x)).bit_length() - 1
    return 1 + 2 * ((abs(x) >> twos).bit_length() - 1) + twos.bit_length()


def _fingerprint(case: Case) -> bytes:
    family = case.family
    arrays = (family.P, family.r, family.rho, family.weights, case.phi)
    rest = repr((family.P.shape, family.gamma, case.lam, case.steps))
    return rest.encode() + b"".join(array.tobytes() for array in arrays)


# --- passes: simpler variants, the boldest first ---------------------------------------------------


def _changed(case: Case, **changes: object) -> Iterator[Case]:
    """The case with other arrays, discount, lambda or steps; nothing where that is no valid case."""
    family = case.family
    parts: dict[str, object] = {
        "P": family.P,
        "r": family.r,
        "gamma": family.gamma,
        "rho": family.rho,
        "w": family.weights,
        "phi": case.phi,
        "lam": case.lam,
        "steps": case.steps,
    }
    parts |= changes
    parts["r"] = np.asarray(parts["r"]) + 0.0  # no negative zeros
    try:
        smaller = TaskFamily.new(
            parts["P"], parts["r"], parts["gamma"], parts["rho"], parts["w"], name=family.name, row_weights=True
        )
        steps = parts["steps"]
        assert isinstance(steps, int)
        yield Case.new(smaller, parts["phi"], case.algorithm.name, parts["lam"], steps=steps, origin=case.origin)
    except InvalidTask:
        return


def _fewer_tasks(case: Case) -> Iterator[Case]:
    family = case.family
    everything = range(family.tasks)
    choices = [[task] for task in everything]
    choices += [[task for task in everything if task not in dropped] for dropped in _chunks(family.tasks)]
    for kept in choices:
        if len(kept) < family.tasks:
            yield from _changed(case, P=family.P[kept], r=family.r[kept], rho=family.rho[kept], w=family.weights[kept])


def _fewer_states(case: Case) -> Iterator[Case]:
    states = case.family.states
    for dropped in _chunks(states):
        kept = [state for state in range(states) if state not in dropped]
        yield from _without_states(case, kept, None)
        for heir in kept if states <= FEW_STATES else kept[:1]:
            yield from _without_states(case, kept, heir)


def _without_states(case: Case, kept: list[int], heir: int | None) -> Iterator[Case]:
    """Only the kept states; what led to the others goes to ``heir``, or in proportion to where the row led else."""
    family = case.family
    dropped = [state for state in range(family.states) if state not in kept]
    P, rho = family.P[:, kept], family.rho.copy()
    if heir is not None:
        P[..., heir] += P[..., dropped].sum(axis=-1)
        rho[..., heir] += rho[..., dropped].sum(axis=-1)
    P, rho = P[..., kept], rho[..., kept]
    for place in np.argwhere(P.sum(axis=-1) == 0):
        P[(*place, place[1])] = 1.0  # a row that led nowhere else stays at home
    yield from _changed(case, P=P, r=family.r[:, kept], rho=rho, phi=case.phi[kept])


def _fewer_actions(case: Case) -> Iterator[Case]:
    family = case.family
    for dropped in _chunks(family.actions):
        kept = [action for action in range(family.actions) if action not in dropped]
        yield from _changed(case, P=family.P[:, :, kept], r=family.r[:, :, kept], phi=case.phi[:, kept])
    if 2 < family.actions <= FEW_ACTIONS:
        optimal = case.solved.optimum.actions[0]
        others = [[a for a in range(family.actions) if a != best] for best in optimal]
        likeliest = [max(rest, key=case.phi[s].__getitem__) for s, rest in enumerate(others)]
        yield from _grouped(case, [[[best], rest] for best, rest in zip(optimal.tolist(), others, strict=True)])
        yield from _grouped(case, [[[best], [one]] for best, one in zip(optimal.tolist(), likeliest, strict=True)])
        for pair in combinations(range(family.actions), 2):
            rest = [[a] for a in range(family.actions) if a not in pair]
            yield from _grouped(case, [[list(pair), *rest]] * family.states)


def _grouped(case: Case, groups: list[list[list[int]]]) -> Iterator[Case]:
    """One action for each group of actions of a state: what the meta-policy does within the group."""
    family = case.family
    P = family.P / family.P.sum(axis=-1, keepdims=True)
    shape = (family.tasks, family.states, len(groups[0]))
    merged, r, phi = np.zeros((*shape, family.states)), np.zeros(shape), np.zeros(shape[1:])
    for s, state_groups in enumerate(groups):
        for k, group in enumerate(state_groups):
            phi[s, k] = case.phi[s, group].sum()
            share = case.phi[s, group] / phi[s, k]
            merged[:, s, k] = np.einsum("a,tas->ts", share, P[:, s, group])
            r[:, s, k] = family.r[:, s, group] @ share
    yield from _changed(case, P=merged, r=r, phi=phi)


def _fewer_steps(case: Case) -> Iterator[Case]:
    for steps in range(1, case.steps):
        yield from _changed(case, steps=steps)


def _chunks(count: int) -> Iterator[list[int]]:
    """Half of the places, a quarter, ... single ones; never all."""
    size = count // 2
    while size:
        for start in range(0, count, size):
            yield list(range(start, min(start + size, count)))
        size //= 2


def _simpler_discount(case: Case) -> Iterator[Case]:
    gamma = case.family.gamma
    nearby = [gamma.limit_denominator(d) for d in DENOMINATORS] + [1 - (1 - gamma).limit_denominator(10**6)]
    for value in dict.fromkeys((*DISCOUNTS, *nearby)):
        yield from _changed(case, gamma=value)


def _simpler_lambda(case: Case) -> Iterator[Case]:
    lam = case.lam
    exponent = round(np.log2(float(lam)))
    nearby = [lam.limit_denominator(d) for d in DENOMINATORS]
    nearby += [Fraction(2) ** k for k in range(0, exponent, 1 if exponent > 0 else -1)]
    nearby += [Fraction(2) ** (exponent + k) for k in (0, 1, -1)] + [Fraction(f"{float(lam):.{k}g}") for k in (1, 2, 3)]
    for value in dict.fromkeys((Fraction(1), Fraction(1, 2), Fraction(2), Fraction(1, 10), Fraction(10), *nearby)):
        yield from _changed(case, lam=value)


def _simpler_unit(case: Case) -> Iterator[Case]:
    """Rewards and lambda in another unit, rewards shifted, all rewards with fewer digits."""
    r = case.family.r
    size = float(np.abs(r).max())
    if size:
        yield from _changed(case, r=r / size, lam=case.lam / Fraction(size))
        power = 2.0 ** np.round(np.log2(size))
        yield from _changed(case, r=r / power, lam=case.lam / Fraction(power))
    for level in np.unique(r):
        yield from _changed(case, r=r - level)
    for digits in DIGITS:
        yield from _changed(case, r=_rounded(r, digits))


def _simpler_transitions(case: Case) -> Iterator[Case]:
    P = case.family.P
    for parts in PARTS:
        rounded = _in_parts(P, parts)
        if np.all(rounded.sum(axis=-1) > 0):
            yield from _changed(case, P=rounded)
    for place in np.ndindex(P.shape[:-1]):
        home = np.eye(case.family.states)[place[1]]
        for row in (home, *_simpler_rows(P[place])):
            yield from _changed(case, P=_with(P, place, row))


def _simpler_starts(case: Case) -> Iterator[Case]:
    rho = case.family.rho
    for place in np.ndindex(rho.shape[:-1]):
        for row in _simpler_rows(rho[place]):
            yield from _changed(case, rho=_with(rho, place, row))


def _simpler_policies(case: Case) -> Iterator[Case]:
    for place in np.ndindex(case.phi.shape[:-1]):
        for row in _positive_rows(case.phi[place]):
            yield from _changed(case, phi=_with(case.phi, place, row))


def _simpler_weights(case: Case) -> Iterator[Case]:
    for row in _positive_rows(case.family.weights):
        yield from _changed(case, w=row)


def _simpler_rewards(case: Case) -> Iterator[Case]:
    r = case.family.r
    rounded = [_rounded(r, digits) for digits in DIGITS]
    for place in np.ndindex(r.shape):
        for value in dict.fromkeys((0.0, 1.0, -1.0, *(float(rewards[place]) for rewards in rounded))):
            yield from _changed(case, r=_with(r, place, value))


PASSES = (
    _fewer_tasks,
    _fewer_states,
    _fewer_actions,
    _fewer_steps,
    _simpler_transitions,
    _simpler_starts,
    _simpler_discount,
    _simpler_unit,
    _simpler_rewards,
    _simpler_policies,
    _simpler_weights,
    _simpler_lambda,
)


def _with(array: Array, place: tuple[int, ...], value: object) -> Array:
    changed = array.copy()
    changed[place] = value
    return changed


def _simpler_rows(row: Array) -> Iterator[Array]:
    """Deterministic rows, the likeliest first; equal parts; few parts."""
    for target in np.argsort(-row, kind="stable"):
        yield np.eye(len(row))[target]
    yield (row > 0).astype(float)
    yield np.ones(len(row))
    for parts in PARTS:
        rounded = _in_parts(row, parts)
        if rounded.sum() > 0:
            yield rounded


def _positive_rows(row: Array) -> Iterator[Array]:
    """Equal weights; small whole weights; powers of two."""
    yield np.ones(len(row))
    for parts in PARTS:
        yield np.maximum(_in_parts(row, parts), 1)
    rarest = row / row.min()
    yield 2.0 ** np.round(np.log2(rarest))
    for exponent in EXPONENTS:
        yield np.where(row == row.max(), 2.0**exponent, 1.0)
        yield np.where(row == row.min(), 1.0, 2.0**exponent)


def _in_parts(rows: Array, parts: int) -> Array:
    return np.round(rows / rows.sum(axis=-1, keepdims=True) * parts)


def _rounded(x: Array, digits: int) -> Array:
    """The nearest number with so many binary digits after the leading one."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 2.0 ** (digits + 1)) / 2.0 ** (digits + 1), exponent)


def sizes(case: Case) -> Sequence[int]:
    """Tasks, states and actions."""
    return case.family.tasks, case.family.states, case.family.actions
