"""Differential test: transcendental functions, KL and the comparator errors against mpmath at 120 digits or more.

mpmath shares no code with Arb or with our own logarithm and exponential. Every enclosure and every ball must
contain its value, on ordinary numbers and on those that break floating point.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from flint import arb, fmpq

from bomrl_theory.adapt.step import kl
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import ENCLOSURES, Array, Balls, Numbers, Rationals
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theory.comparator import E1, E2, E3
from bomrl_theory.theory.expression import Expr, evaluate, quantities

DIGITS = 120
SYSTEMS: tuple[Numbers, ...] = (ENCLOSURES, Balls(128), Balls(1024), Rationals(256))
EDGES = (5e-324, 1e-310, 2.0**-1022, 1e-300, 1e-160, 2.0**-53, 1 - 2.0**-53, 1.0, 1 + 2.0**-52, 700.0, 1e16, 1e300)


def balls_of(values: Any) -> Iterator[tuple[Any, Any]]:
    """Mid-point and radius of every entry, as mpmath numbers that hold them exactly."""
    if hasattr(values, "mid"):
        yield from ((mp.mpf(float(m)), mp.mpf(float(r))) for m, r in zip(values.mid.flat, values.rad.flat, strict=True))
        return
    for value in values.flat:
        if isinstance(value, fmpq):
            yield mp.mpf(int(value.p)) / int(value.q), mp.mpf(10) ** (-DIGITS + 5) * (1 + abs(float(value)))
        elif not value.is_finite():
            yield mp.mpf(0), mp.inf
        else:
            assert isinstance(value, arb)
            mid, rad = (tuple(map(int, part.man_exp())) for part in (value.mid(), value.rad()))
            yield mp.ldexp(*mid), mp.ldexp(*rad)


def known(values: Any, truths: list[Any], narrowed: float = 1.0) -> tuple[int, int]:
    """How many entries are known, and how many of them exclude the truth once radii are multiplied."""
    pairs = list(balls_of(values))
    assert len(pairs) == len(truths)
    finite = [(mid, rad, truth) for (mid, rad), truth in zip(pairs, truths, strict=True) if mp.isfinite(mid + rad)]
    # mpmath's own rounding, far below every radius but that of an exact result.
    slack = mp.mpf(10) ** (20 - mp.mp.dps)
    excluded = sum(abs(mid - truth) > narrowed * rad + slack * (abs(truth) + abs(mid)) for mid, rad, truth in finite)
    return len(finite), excluded


def doubles(rng: np.random.Generator, count: int) -> Array:
    """Positive doubles over the whole range of exponents, near 1, and edges."""
    wide = rng.uniform(1, 2, count) * 2.0 ** rng.integers(-1070, 1000, count)
    near = 1 + rng.integers(-50, 50, count) * 2.0**-53
    return np.concatenate([wide, near, rng.uniform(0, 4, count) + 1e-9, EDGES])


@pytest.mark.parametrize("numbers", SYSTEMS, ids=lambda numbers: numbers.name)
def test_log_sqrt_exp(numbers: Numbers) -> None:
    rng = np.random.default_rng(0)
    positive = doubles(rng, 200)
    exponents = np.concatenate([rng.uniform(-700, 700, 200), rng.normal(size=200) * 1e-9, -np.array(EDGES[:10])])
    with mp.workdps(DIGITS), numbers.activated():
        for function, truth, arguments in (
            (numbers.log, mp.log, positive),
            (numbers.sqrt, mp.sqrt, positive),
            (numbers.exp, mp.exp, exponents),
        ):
            truths = [truth(mp.mpf(float(x))) for x in arguments]
            values = function(numbers.load(arguments))
            assert known(values, truths) == (len(arguments), 0)


def test_radii_are_not_generous() -> None:
    """Power: with radii cut to a twentieth, our own logarithm and exponential are caught outside."""
    positive = doubles(np.random.default_rng(1), 300)
    exponents = np.random.default_rng(2).uniform(-50, 50, 600)
    with mp.workdps(DIGITS), ENCLOSURES.activated():
        log, exp = ENCLOSURES.log(ENCLOSURES.load(positive)), ENCLOSURES.exp(ENCLOSURES.load(exponents))
        assert known(log, [mp.log(mp.mpf(float(x))) for x in positive], 1 / 20)[1] > 0
        assert known(exp, [mp.exp(mp.mpf(float(x))) for x in exponents], 1 / 20)[1] > 0


@pytest.mark.parametrize("numbers", SYSTEMS, ids=lambda numbers: numbers.name)
def test_kl(numbers: Numbers) -> None:
    """Policies from equal to ``2^-700`` apart, and all but equal ones, whose KL is near ``2^-104``."""
    rng = np.random.default_rng(3)
    states, actions = 60, 4
    p, q = (2.0 ** -rng.choice([0, 1, 30, 52, 300, 700], (states, actions)).astype(float) for _ in range(2))
    p[:20], q[:20] = rng.dirichlet(np.ones(actions), 20), rng.dirichlet(np.ones(actions), 20)
    q[20:30] = p[20:30]
    q[25:30] *= 1 + 2.0**-52 * rng.integers(0, 4, (5, actions))
    family = TaskFamily.new(
        np.ones((1, states, actions, states)), np.zeros((1, states, actions)), 0, np.ones(states), row_weights=True
    )
    truths = []
    with mp.workdps(3 * DIGITS), numbers.activated():
        for above, below in zip(p.tolist(), q.tolist(), strict=True):
            shares = [[mp.mpf(x) / mp.fsum(map(mp.mpf, row)) for x in row] for row in (above, below)]
            truths.append(mp.fsum(x * mp.log(x / y) for x, y in zip(*shares, strict=True)))
        model = Model(family, numbers)
        found = kl(Evaluation.of(model, p[None]), Evaluation.of(model, q[None]))
        assert known(found, truths) == (states, 0)


def e1(a: Any, lam: Any, p: Any, eps: Any) -> Any:
    """<pi* - q, Q> + lambda KL(phi || q) at q = (1 - eps) pi* + eps phi: the definition, term by term."""
    mixed = 1 - eps + eps * p
    return eps * a + lam * (p * mp.log(p / mixed) + (1 - p) * mp.log(1 / eps))


def e2(lam: Any, p: Any) -> Any:
    return lam * mp.log(1 / p)


def e3(a: Any, p: Any, t: Any, ell: Any, A: Any) -> Any:
    """The comparator's logit of a* is raised by t: the others lose a share, and the centred penalty is paid."""
    share = p * mp.exp(t) / (p * mp.exp(t) + 1 - p)
    return a * (1 - share) / (1 - p) + ell * (t**2 - t**2 / A)


ADVERSARIAL = {
    "p": (0.5, 2.0**-53, 1 - 2.0**-53, 1e-300, 0.1),
    "eps": (1.0, 2.0**-53, 1e-300, 0.5, 1 - 2.0**-53),
    "lambda": (1e-6, 1.0, 1e6),
    "a": (0.0, 1e-12, 1e12, -3.0, 1.0),
    "t": (0.0, 700.0, 1e-6, 3.0),
    "ell": (0.0, 1e-6, 1e6, 1e300),
    "A": (2.0, 4.0),
}


def inputs(rng: np.random.Generator, count: int) -> dict[str, Array]:
    """Half ordinary, half drawn from the hard values."""
    half = count // 2
    ordinary = {
        "p": rng.uniform(0.01, 0.99, half),
        "eps": rng.uniform(0.01, 1, half),
        "lambda": 10 ** rng.uniform(-3, 2, half),
        "a": rng.normal(size=half),
        "t": rng.uniform(0, 10, half),
        "ell": 10 ** rng.uniform(-3, 2, half),
        "A": rng.integers(2, 9, half).astype(float),
    }
    return {
        name: np.concatenate([ordinary[name], rng.choice(hard, count - half)]) for name, hard in ADVERSARIAL.items()
    }


@pytest.mark.parametrize("numbers", SYSTEMS, ids=lambda numbers: numbers.name)
@pytest.mark.parametrize(("expression", "truth"), [(E1, e1), (E2, e2), (E3, e3)], ids=["E1", "E2", "E3"])
def test_comparator_errors(expression: Expr, truth: Any, numbers: Numbers) -> None:
    count = 200
    drawn = inputs(np.random.default_rng(4), count)
    names = [name for name in ("a", "lambda", "p", "eps", "t", "ell", "A") if name in quantities(expression)]
    # Terms of e_1 cancel down to 1e-300 of their size.
    with mp.workdps(7 * DIGITS), numbers.activated():
        rows = zip(*(drawn[name].tolist() for name in names), strict=True)
        ordered = {e1: ("a", "lambda", "p", "eps"), e2: ("lambda", "p"), e3: ("a", "p", "t", "ell", "A")}[truth]
        truths = [truth(*(mp.mpf(dict(zip(names, row, strict=True))[name]) for name in ordered)) for row in rows]
        loaded = {name: numbers.load(drawn[name][None]) for name in names}
        found = evaluate(expression, loaded, numbers, (1, count))
        certain, excluded = known(found, truths)
        assert excluded == 0
        assert certain >= 0.9 * count  # at p = 1e-300 and eps = 1 a comparator's share may be 0 for all one can tell
        if numbers is ENCLOSURES:
            ordinary = [rad for _, rad in balls_of(found)][: count // 2]
            assert max(ordinary) < 1e-11
            assert known(found, truths, 1 / 100)[1] > 0  # power: the radii are of the errors' size
