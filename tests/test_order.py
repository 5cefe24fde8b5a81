"""Which bound is the smaller one: proofs that are right, refusals that are honest, counts that agree."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp
from flint import arb, fmpq

from bomrl_theory.numbers import Enclosure
from bomrl_theory.theory.comparator import eta
from bomrl_theory.theory.constants import A_max, Delta, Delta_star, gamma, lam, nu_phi, p, per_task, rho
from bomrl_theory.theory.dominance import at_most, comparable, shared
from bomrl_theory.theory.expression import (
    largest_over_states,
    over_states,
    quantities,
    replaced,
)
from bomrl_theory.theory.registry import registry
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.order import (
    Relation,
    bounds_value,
    covering,
    dominating,
    enclosure_of,
    is_below,
    relations,
)
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.run import Run, verify
from bomrl_theory.verify.verdict import Outcome, judge

BASE = registry()["no_adaptation-v1"]
HORIZON = 1 / (1 - gamma.symbol)
VARIATION, DIVERGENCE = (over_states(nu_phi.symbol * x) for x in (1 - p.symbol, -sp.log(p.symbol)))
EVERYTHING = (*BASE.constants, A_max, Delta, lam, eta, rho)


def bound(expression: Any, name: str = "other-v1") -> Theorem:
    """A bound on the gap without adaptation, asked of Alg(2), so that eta can be measured."""
    return replace(
        BASE, id=name, bound=expression, constants=EVERYTHING, algorithms=("kl-posterior",), probes=(), steps=1
    )


ORDERED = {
    "itself": (BASE.bound, BASE.bound),
    "-log p >= 1-p": (BASE.bound, Delta_star.symbol * HORIZON * DIVERGENCE),
    "1-p <= 1": (BASE.bound, Delta_star.symbol * HORIZON),
    "a maximum": (BASE.bound, sp.Max(Delta_star.symbol, lam.symbol) * HORIZON * VARIATION),
    "discount": (Delta_star.symbol * VARIATION, Delta_star.symbol * HORIZON * VARIATION),
    "constants": (BASE.bound, A_max.symbol * (2 - gamma.symbol) / (1 - gamma.symbol) ** 2 * DIVERGENCE),
    "half a span": (Delta.symbol * VARIATION, 2 * A_max.symbol * DIVERGENCE),
    "average and maximum": (over_states(rho.symbol * eta.symbol), largest_over_states(eta.symbol)),
    "another term": (BASE.bound, BASE.bound + lam.symbol * HORIZON),
}


@pytest.mark.parametrize("name", ORDERED)
def test_true_orders_are_proved(name: str) -> None:
    """And no certified case contradicts them."""
    smaller, larger = (bound(sp.sympify(x)) for x in ORDERED[name])
    assert at_most(smaller, larger)
    both = replace(bound(larger.bound), left=smaller.bound)
    for case in random_cases(np.random.SeedSequence(4), 6):
        if both.covers(case):
            assert all(verdict.outcome is Outcome.HOLDS for verdict in judge(both, case))


@pytest.mark.parametrize("name", [name for name in ORDERED if name != "itself"])
def test_the_converse_is_not_proved(name: str) -> None:
    smaller, larger = (bound(sp.sympify(x)) for x in ORDERED[name])
    assert not at_most(larger, smaller)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (DIVERGENCE * Delta_star.symbol, 2 * VARIATION * Delta_star.symbol),
        (VARIATION * Delta_star.symbol, VARIATION * Delta_star.symbol * Fraction(999, 1000)),
        (Delta_star.symbol, A_max.symbol),
        (Delta_star.symbol * gamma.symbol * 2, Delta_star.symbol),
        (largest_over_states(eta.symbol), over_states(rho.symbol * eta.symbol)),
    ],
)
def test_false_orders_are_not_proved(first: Any, second: Any) -> None:
    """Each is contradicted by some case, so that a proof would be an error."""
    assert not at_most(bound(sp.sympify(first)), bound(sp.sympify(second)))


def test_other_left_sides_and_algorithms_are_not_compared() -> None:
    theorems = registry()
    assert not comparable(theorems["no_adaptation-v1"], theorems["coverage-v1"])
    assert not comparable(theorems["contraction_kl_prior-v1"], theorems["contraction_kl_posterior-v1"])
    assert comparable(theorems["published_bound-v1"], theorems["contraction_kl_posterior-v1"])


def test_constants_that_only_share_a_name_are_told_apart() -> None:
    """Otherwise the smaller of two things called C would prove anything."""
    one = per_task("C", "one", "1", lambda m: m.phi.J, nonnegative=True)
    other = per_task("C", "another", "1", lambda m: m.star.J, nonnegative=True)
    first = replace(BASE, bound=one.symbol, constants=(*BASE.constants, one))
    second = replace(BASE, bound=2 * other.symbol, constants=(*BASE.constants, other))
    assert at_most(first, replace(second, bound=2 * one.symbol, constants=first.constants))
    assert not at_most(first, second)
    assert quantities(shared(first, second).second) == {"C'"}


@pytest.fixture(scope="module")
def run() -> Run:
    theorems = [theorem for theorem in registry().values() if theorem.topic in ("adaptation", "surrogate bounds")]
    return verify(theorems, random_cases(np.random.SeedSequence(5), 8))


def test_relations_agree_with_the_verdicts(run: Run) -> None:
    """Both directions count the same comparisons; what is refuted has its case, and the case says so again."""
    known = relations(run)
    assert {relation.status for relation in known} == {"proved", "refuted", "open"}
    table = {(relation.first.id, relation.second.id): relation for relation in known}
    for (first, second), relation in table.items():
        back = table[second, first]
        assert (relation.below, relation.above, relation.unclear) == (back.above, back.below, back.unclear)
        assert (relation.status == "refuted") == (relation.above > 0) == (relation.against is not None)
        if relation.against is not None and relation.first.scope == relation.second.scope:
            both = shared(relation.first, relation.second)
            claim = replace(
                relation.first, left=both.first, bound=both.second, constants=both.constants, assumptions=()
            )
            verdicts = judge(claim, relation.against.case)
            assert verdicts[relation.against.task or 0].outcome is Outcome.VIOLATED


def test_hasse_lines_leave_out_what_follows() -> None:
    """a <= b <= c needs two lines, not three; of two equal bounds none hides the other."""
    a, b, c = (replace(BASE, id=f"{name}-v1") for name in "abc")

    def relation(first: Theorem, second: Theorem) -> Relation:
        return Relation(first, second, "proved", 1, 0, 0)

    chain = [relation(a, b), relation(b, c), relation(a, c)]
    assert covering(chain) == chain[:2]
    equal = [relation(a, b), relation(b, a), relation(a, c), relation(b, c)]
    assert covering(equal) == equal
    assert covering([replace(chain[0], status="open", below=0)]) == []


def test_dominating_names_what_is_proved_only() -> None:
    theorems = list(registry().values())
    smaller, larger = dominating(registry()["published_bound_conditional-v1"], theorems)
    assert "published_bound-v1" in [theorem.id for theorem in smaller]
    assert "published_bound-v1" not in [theorem.id for theorem in larger]


def test_enclosures_contain_the_number() -> None:
    assert enclosure_of(fmpq(1, 3)) == (Fraction(1, 3), Fraction(1, 3))
    low, high = enclosure_of(arb(1) / 3) or (Fraction(1), Fraction(0))
    assert low < Fraction(1, 3) < high
    assert enclosure_of(Enclosure(np.float64(0.5), np.float64(0.25))) == (Fraction(1, 4), Fraction(3, 4))
    assert enclosure_of(Enclosure(np.float64(0.5), np.float64(np.inf))) is None
    assert enclosure_of(arb("nan")) is None
    assert enclosure_of(1.0) is None


def test_comparator_error_is_written_out() -> None:
    """The averaged contraction bound equals each algorithm's own, which only e_i's definition shows."""
    average = registry()["contraction_task_average-v1"]
    for name in ("contraction_kl_prior-v1", "contraction_kl_posterior-v1", "contraction_euclidean-v1"):
        own = registry()[name]
        assert at_most(own, average)
        assert at_most(average, own)
        assert not at_most(replace(average, bound=2 * average.bound), own)
    assert replaced(sp.Integer(1), {}) == 1


def test_order_on_the_command_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Text and JSON tell the same relations."""
    from bomrl_theory import cli

    def bomrl(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["bomrl", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
        return capsys.readouterr().out

    arguments = ("list", "--order", "--topic", "surrogate", "--cases", "3")
    rows = json.loads(bomrl(*arguments, "--json"))
    text = bomrl(*arguments)
    proved = [row for row in rows if row["status"] == "proved"]
    assert {"smaller": "published_bound-v1", "larger": "published_bound_conditional-v1"}.items() <= proved[0].items()
    pairs = {(row["smaller"], row["larger"]) for row in proved}
    shown = [line.replace(":", " ").split() for line in text.splitlines() if ": proved" in line]
    assert shown  # the text leaves out what follows from other lines
    for first, sign, second, *_ in shown:
        assert (first, second) in pairs
        assert sign == ("=" if (second, first) in pairs else "≤")


@pytest.mark.parametrize(
    ("value", "rival", "below"),
    [
        (fmpq(1, 3), fmpq(1, 3) + fmpq(1, 10**40), True),  # closer than doubles can tell
        (fmpq(1, 3) + fmpq(1, 10**40), fmpq(1, 3), False),
        (fmpq(1, 3), fmpq(1, 3), None),
        (fmpq(10) ** 400, fmpq(10) ** 400 + 1, True),  # beyond the range of doubles
        (arb(1, 0.25), arb(2, 0.25), True),
        (arb(1, 0.5), arb(2, 0.5), None),  # they touch
        (Enclosure(np.float64(1), np.float64(0.5)), fmpq(3, 2) + fmpq(1, 10**30), True),
        (Enclosure(np.float64(2), np.float64(0.5)), arb(1, 0.25), False),
    ],
)
def test_doubles_never_decide_what_exact_numbers_would_not(value: Any, rival: Any, below: bool | None) -> None:
    first, second = bounds_value(value), bounds_value(rival)
    assert first is not None
    assert second is not None
    assert is_below(first, second) is below
    for each, number in ((first, value), (second, rival)):
        low, high = enclosure_of(number) or (0, 0)
        assert each.low <= low <= high <= each.high
