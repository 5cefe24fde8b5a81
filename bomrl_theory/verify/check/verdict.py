"""One verdict against the facts: is everything that its line says true?

All comparisons are certain ones. What the present precision cannot tell is left open, and the
question is asked again with more bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import flint
from flint import fmpq

from bomrl_theory.verify.check.arithmetic import ONE, ZERO, Number, Undefined, ball, dyadic, times, total
from bomrl_theory.verify.check.facts import Facts
from bomrl_theory.verify.check.records import Case, Claim, double
from bomrl_theory.verify.check.tree import Malformed, evaluate, rational

EXACT_STATES = 64
"""Larger tasks are solved in balls, unless the verdict was reached in rationals."""
LARGEST_PRECISION = 40_000
HEX = re.compile(r"-?0x[01]\.[0-9a-f]+p[+-][0-9]{1,4}")
DYADIC = re.compile(r"(-?[0-9]+)\*2\^(-?[0-9]{1,6})")

Status = Literal["confirmed", "disagreement", "unchecked", "undecided"]


@dataclass
class Answer:
    """What was found about a verdict.

    Attributes:
        wrong: what certainly contradicts it.
        open: what could not be told at the precision used.
    """

    wrong: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def require(self, true: bool, false: bool, otherwise: str) -> None:
        """A statement that must be certainly true; ``otherwise`` says what it means that it is false."""
        if false:
            self.wrong.append(otherwise)
        elif not true:
            self.open.append(f"could not be told whether {otherwise}")


def check_verdict(line: dict[str, Any], claim: Claim, case: Case) -> tuple[Status, str]:
    """Check one verdict's line.

    Raises:
        Malformed: the line does not follow the format.
    """
    if claim.unknown:
        undefined = ", ".join(claim.unknown)
        return "unchecked", f"cannot be checked independently: no independent definition of {undefined}"
    if line.get("certified") is not True:
        return "unchecked", f"decided in {line.get('numbers')} only: it certifies nothing"
    if line.get("outcome") == "UNDECIDED":
        return "undecided", "recorded as UNDECIDED: it claims nothing"
    task = line.get("task")
    tasks = len(case.family.tasks)
    if claim.per_task and (type(task) is not int or not 0 <= task < tasks):
        raise Malformed(f"task = {task!r} is not one of the {tasks} tasks of its case")
    if not claim.per_task and task is not None:
        raise Malformed(f"task = {task!r}, but {claim.id} speaks about the family")
    if line.get("theorem") != claim.id:
        return "disagreement", f"the verdict is on {line.get('theorem')!r}, its claim is {claim.id}'s"
    for tau in range(tasks) if task is None else (task,):
        if doubt := case.family.doubt(tau):
            return "disagreement", doubt
    precision = line.get("precision")
    if type(precision) is not int or not 1 <= precision <= LARGEST_PRECISION:
        raise Malformed(f"precision = {precision!r} is not a number of bits")
    chosen = _chosen(line.get("chosen"), task, case)
    exact = claim.identity or line.get("tier") == 3 or len(case.family.tasks[0].r) <= EXACT_STATES
    answer = Answer()
    for bits in _precisions(precision):
        with flint.ctx.workprec(bits):
            answer = _answer(line, claim, case, case.facts(chosen, exact=exact))
        if answer.wrong:
            return "disagreement", "; ".join(answer.wrong)
        if not answer.open:
            return "confirmed", ""
    return "undecided", "; ".join(answer.open)


def _precisions(recorded: int) -> Iterator[int]:
    bits = max(128, 2 * recorded)
    while bits <= LARGEST_PRECISION:
        yield bits
        bits *= 4


def _answer(line: dict[str, Any], claim: Claim, case: Case, facts: Facts) -> Answer:
    answer, outcome, task = Answer(), line.get("outcome"), line.get("task")
    if outcome not in ("HOLDS", "VIOLATED", "OUT_OF_SCOPE"):
        raise Malformed(f"outcome = {outcome!r} is not an outcome")
    try:
        _check_chosen(answer, facts)
        margins = {name: evaluate(margin, facts, task) for name, margin in claim.margins.items()}
        covered = claim.covers(case.data.algorithm, case.steps)
        if outcome == "OUT_OF_SCOPE":
            if covered:
                failed = any(margin < ZERO for margin in margins.values())
                met = all(margin >= ZERO for margin in margins.values())
                answer.require(failed, met, "it is in scope: the algorithm is covered, and every assumption holds")
        elif not covered:
            answer.wrong.append(f"it is out of scope: {claim.id} does not speak about {case.data.algorithm}")
        else:
            for name, margin in margins.items():
                answer.require(margin >= ZERO, margin < ZERO, f"it is out of scope: '{name}' does not hold")
            if answer.wrong:
                return answer
            left, bound = (evaluate(tree, facts, task) for tree in (claim.left, claim.bound))
            recorded = [_recorded(line.get(side), side) for side in ("left", "bound")]
            _check_side(answer, "left side", left, *recorded[0])
            _check_side(answer, "bound", bound, *recorded[1])
            _check_outcome(answer, outcome, claim, left, bound)
            if not _proves(outcome, claim, *recorded):
                answer.wrong.append(f"the recorded sides do not prove {outcome}")
            if outcome == "HOLDS" and claim.graded and not answer.wrong:
                # Both sides and the gap without adaptation are known about equally well.
                doubt = 4 * (recorded[0][1] + recorded[1][1])
                _check_grade(answer, line.get("grade"), bound, doubt, facts, task)
        if (outcome != "HOLDS" or not claim.graded) and line.get("grade") is not None:
            answer.wrong.append(f"only a bound on a gap that holds has a grade, not {claim.id}, {outcome}")
    except Undefined as error:
        answer.open.append(f"{error} at {flint.ctx.prec} bits")
    return answer


# --- sides and outcome ---------------------------------------------------------------------------


def _recorded(side: Any, name: str) -> tuple[fmpq, fmpq]:
    """Mid-point and radius as written."""
    match side:
        case {"rational": text}:
            return rational(text), ZERO
        case {"mid": mid, "rad": rad}:
            mid, rad = _number(mid), _number(rad)
            if rad < ZERO:
                raise Malformed(f"{name} has a negative radius")
            return mid, rad
    raise Malformed(f"{name} = {str(side)[:60]} is neither a rational nor a ball")


def _number(text: Any) -> fmpq:
    """A double in hexadecimal, or ``m*2^e``."""
    if isinstance(text, str) and HEX.fullmatch(text):
        return double(float.fromhex(text))
    if isinstance(text, str) and (found := DYADIC.fullmatch(text)):
        return dyadic(rational(found[1]), int(found[2]))
    raise Malformed(f"{str(text)[:40]!r} is not an exact binary number")


def _check_side(answer: Answer, name: str, value: Number, mid: fmpq, rad: fmpq) -> None:
    """The recorded ball must contain the value; compared as exact numbers."""
    own_mid, own_rad = ball(value)
    distance = abs(own_mid - mid)
    inside, outside = distance + own_rad <= rad, distance - own_rad > rad
    recorded = _about(mid) + (f" +/- {_about(rad)}" if rad else "")
    answer.require(inside, outside, f"the {name} is {_about(own_mid)}, outside the recorded {recorded}")


def _check_outcome(answer: Answer, outcome: str, claim: Claim, left: Number, bound: Number) -> None:
    slack = bound - left
    positive, negative = slack > ZERO, slack < ZERO
    if claim.identity:
        equal = isinstance(slack, fmpq) and slack == ZERO
        true, false = (equal, positive or negative) if outcome == "HOLDS" else (positive or negative, equal)
    else:
        true, false = (slack >= ZERO, negative) if outcome == "HOLDS" else (negative, slack >= ZERO)
    answer.require(true, false, f"{outcome} is wrong: bound - left is {_about(ball(slack)[0])}")


def _proves(outcome: str, claim: Claim, left: tuple[fmpq, fmpq], bound: tuple[fmpq, fmpq]) -> bool:
    """Whether the outcome follows from the recorded sides alone."""
    slack, doubt = bound[0] - left[0], left[1] + bound[1]
    if claim.identity:
        return slack == doubt == ZERO if outcome == "HOLDS" else abs(slack) > doubt
    return slack >= doubt if outcome == "HOLDS" else slack < -doubt


def _about(x: fmpq) -> str:
    """A rational, rounded for people."""
    return str(int(x.p)) if x.q == 1 and abs(x) < 10**6 else flint.arb(x).str(12, radius=False)


# --- grade ---------------------------------------------------------------------------------------


def _check_grade(answer: Answer, grade: Any, bound: Number, doubt: fmpq, facts: Facts, task: int | None) -> None:
    """Informative: below the gap without adaptation. Trivial: at least the largest gap of any policy.

    What the recorded precision cannot tell counts against the bound: it is uninformative.
    """

    def reference(name: str) -> Number:
        if task is not None:
            return facts.value(name, task, None)
        return total(times(weight, facts.value(name, tau, None)) for tau, weight in enumerate(facts.case.weights))

    unadapted, worst = reference("gap_phi"), reference("largest gap")
    match grade:
        case "informative":
            answer.require(bound < unadapted, bound >= unadapted, "the bound is not informative")
        case "trivial":
            answer.require(bound >= worst, bound < worst, "the bound is not trivial")
        case "uninformative":
            if bound + doubt < unadapted or bound > worst + doubt:
                answer.wrong.append(f"the bound is {'informative' if bound < unadapted else 'trivial'}")
        case _:
            raise Malformed(f"grade = {grade!r} is not a grade")


# --- free parameters -----------------------------------------------------------------------------


def _chosen(chosen: Any, task: int | None, case: Case) -> dict[str, dict[int, list[fmpq]]]:
    """The recorded free parameters by name and task."""
    if not isinstance(chosen, dict):
        raise Malformed("chosen is not an object")
    states, tasks = len(case.family.tasks[0].r), len(case.family.tasks)
    result: dict[str, dict[int, list[fmpq]]] = {}
    for name, values in chosen.items():
        rows = values if task is None else [values]
        if not isinstance(rows, list) or len(rows) != (tasks if task is None else 1):
            raise Malformed(f"{name} does not hold one list a task")
        if any(not isinstance(row, list) or len(row) != states for row in rows):
            raise Malformed(f"{name} does not hold one number a state")
        exact = [[double(x) for x in row] for row in rows]
        result[name] = dict(enumerate(exact)) if task is None else {task: exact[0]}
    return result


def _check_chosen(answer: Answer, facts: Facts) -> None:
    """eps in (0, 1]; t >= 0, and t = 0 where phi never comes and nothing would be paid for it."""
    for tau, row in facts.chosen.get("eps", {}).items():
        for s, eps in enumerate(row):
            if not ZERO < eps <= ONE:
                answer.wrong.append(f"eps = {_about(eps)} at task {tau}, state {s} is outside (0, 1]")
    for tau, row in facts.chosen.get("t", {}).items():
        for s, t in enumerate(row):
            if t < ZERO or (t != ZERO and not facts.phi(tau).visited[s]):
                where = "an unvisited state" if t > ZERO else "a state"
                answer.wrong.append(f"t = {_about(t)} at task {tau}, state {s}: not admissible at {where}")
