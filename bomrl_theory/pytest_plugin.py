"""Pytest plugin: a theory repository tests its own bounds with plain ``pytest``.

::

    @pytest.mark.theorem("my_bound.py", cases=50)
    def test_my_bound(): ...

    def test_by_hand(verify_theorem):
        result = verify_theorem("coverage-v1", families=["bandit"])
        assert result.max_ratio > 0.9

With ``--bomrl-baseline DIR`` both also compare the theorem with its baseline (``bomrl regress --update`` makes it).
Nothing of the package is imported before a test asks for a theorem.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:  # importing the plugin must cost nothing
    from bomrl_theory.theory.theorem import Theorem
    from bomrl_theory.verify.run import TheoremResult

MARK = "theorem(theorem, *, cases=0, families=(), seed=0): judge a theorem (id, itself or file) before the test."
OPTION = "bomrl_baseline"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option ``--bomrl-baseline``."""
    group = parser.getgroup("bomrl", "theorems (bomrl_theory)")
    group.addoption(
        "--bomrl-baseline",
        dest=OPTION,
        metavar="DIR",
        help="Theorems under test must be as in this baseline, which bomrl regress --update has made.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known to ``--strict-markers``."""
    config.addinivalue_line("markers", MARK)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Judge the theorems of a test's marks, the outermost first, then run the test."""
    for mark in reversed(list(pyfuncitem.iter_markers("theorem"))):
        try:
            _, failure = _examined(pyfuncitem, *mark.args, **mark.kwargs)
        except TypeError as error:
            failure = f"@pytest.mark.theorem: {error}; it takes {MARK.partition(':')[0]}"
        if failure:
            pytest.fail(failure, pytrace=False)
    return (yield)


class VerifyTheorem(Protocol):
    """What the fixture :func:`verify_theorem` offers."""

    def __call__(
        self, theorem: Theorem | str | Path, *, cases: int = 0, families: Sequence[str] = (), seed: int = 0
    ) -> TheoremResult: ...


@pytest.fixture
def verify_theorem(request: pytest.FixtureRequest) -> VerifyTheorem:
    """Judge a theorem now: returns a :class:`bomrl_theory.verify.run.TheoremResult`, or fails the test.

    ``verify_theorem(theorem, *, cases=0, families=(), seed=0)``: the theorem (its id, itself or its file) is judged on
    its own cases, the pinned corpus, the families, and random ones.
    """

    def verify(
        theorem: Theorem | str | Path, *, cases: int = 0, families: Sequence[str] = (), seed: int = 0
    ) -> TheoremResult:
        __tracebackhide__ = True
        result, failure = _examined(request.node, theorem, cases=cases, families=families, seed=seed)
        if result is None or failure:
            raise AssertionError(failure) from None
        return result

    return verify


def _examined(
    item: pytest.Item,
    theorem: Any,
    *,
    cases: int = 0,
    families: Sequence[str] = (),
    seed: int = 0,
) -> tuple[TheoremResult | None, str]:
    """The verdicts, None where the theorem could not be judged; and why the test fails, or nothing."""
    from bomrl_theory.errors import BomrlError
    from bomrl_theory.regress.expected import examined

    start = item.config.invocation_params.dir
    baseline = item.config.getoption(OPTION)
    if isinstance(theorem, str | Path) and str(theorem).endswith(".py"):
        beside = item.path.parent / theorem
        theorem = _from(start, beside if beside.is_file() else start / theorem)
    try:
        found = examined(
            theorem,
            cases=cases,
            families=(families,) if isinstance(families, str) else tuple(families),
            seed=seed,
            baseline=None if baseline is None else _from(start, start / baseline),
            counterexamples=_from(start, start / "counterexamples"),
        )
    except BomrlError as error:
        return None, f"error: {error}"
    return found.result, "\n".join(found.failure)


def _from(start: Path, path: Path) -> Path:
    """The path as it can be typed where pytest was started, if tests have not gone elsewhere."""
    return path.relative_to(start) if path.is_relative_to(start) and Path.cwd() == start else path
