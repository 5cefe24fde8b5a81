"""The pytest plugin, in test sessions of a user's repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bomrl_theory import theorems
from bomrl_theory.regress import compare as compare_module
from bomrl_theory.regress import expected as expected_module
from bomrl_theory.regress.baseline import Baseline
from bomrl_theory.regress.corpus import pinned_corpus
from bomrl_theory.regress.expected import examined
from bomrl_theory.regress.judged import judged
from bomrl_theory.theory.registry import theorem_named

pytest_plugins = "pytester"
SMALL = pinned_corpus().part(2, every=3)
THEOREMS = Path(theorems.__file__).parent
PLUGIN = ("-p", "bomrl_theory.pytest_plugin", "-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small corpus, and no search for smaller counterexamples, which has tests of its own."""
    monkeypatch.setattr(expected_module, "pinned_corpus", lambda: SMALL)
    monkeypatch.setattr(compare_module, "smallest_counterexample", lambda theorem, *record, timed: record)


def put(pytester: pytest.Pytester, name: str = "coverage", old: str = "", new: str = "") -> None:
    """A bound of the user's: a registered one, with something else in one place."""
    text = (THEOREMS / f"{name}.py").read_text()
    assert not old or text.count(old) == 1
    (pytester.path / f"my_{name}.py").write_text(text.replace(old, new) if old else text)


def put_too_small(pytester: pytest.Pytester) -> None:
    """A bound of 95 % of what is proved."""
    put(pytester)
    path = pytester.path / "my_coverage.py"
    path.write_text(path.read_text() + "\nfrom fractions import Fraction\nTHEOREM = THEOREM.scaled(Fraction(19, 20))\n")


def marked(pytester: pytest.Pytester, *arguments: str, body: str = "pass") -> None:
    pytester.makepyfile(f"""
        import pytest

        @pytest.mark.theorem({", ".join(arguments)})
        def test_bound():
            {body}
    """)


def run(pytester: pytest.Pytester, *options: str) -> tuple[pytest.RunResult, str]:
    result = pytester.runpytest_inprocess(*PLUGIN, "--strict-markers", *options)
    return result, result.stdout.str()


def test_a_bound_that_holds_passes_and_the_test_runs(pytester: pytest.Pytester) -> None:
    """By id and by file; the body runs after the verdicts."""
    put(pytester)
    pytester.makepyfile("""
        import pytest

        @pytest.mark.theorem("coverage-v1")
        @pytest.mark.theorem("my_coverage.py", cases=2, seed=1)
        def test_bound():
            pass

        @pytest.mark.theorem("coverage")
        def test_body():
            assert 1 == 2
    """)
    result, out = run(pytester)
    result.assert_outcomes(passed=1, failed=1)
    assert "assert 1 == 2" in out


def test_a_constant_that_is_too_small_fails_with_all_numbers(pytester: pytest.Pytester) -> None:
    """5 %: both sides, the margin, the case and how to replay it, and no traceback."""
    put_too_small(pytester)
    marked(pytester, '"my_coverage.py"', body="raise ZeroDivisionError")
    result, out = run(pytester)
    result.assert_outcomes(failed=1)
    for part in (
        "coverage-v1 is VIOLATED: left > bound on ",
        "  it claims gap_τ ≤ ",
        "  smallest counterexample, task 0: ",
        "    left  = ",
        "    bound = ",
        "    left - bound = ",
        ", certified in ",
        "state 0, action 0: reward ",
        "  replay: bomrl verify my_coverage.py --replay counterexamples/coverage-v1-",
    ):
        assert part in out
    assert "Traceback" not in out
    assert "ZeroDivisionError" not in out  # the body did not run
    assert "pytest_plugin.py" not in out
    assert len(list((pytester.path / "counterexamples").iterdir())) == 1


LOOSE = """
from dataclasses import replace
from fractions import Fraction

THEOREM = replace(THEOREM, witness=THEOREM.probes[0], probes=()).scaled(Fraction({factor}))
"""
"""Without its witness, near which the bound is tight."""


def test_linear_quadratic_control_is_judged_on_the_pinned_corpus(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The theorem's own case would let a constant pass that is 5 % too small; the pinned ones do not."""
    monkeypatch.setattr(expected_module, "pinned_corpus", pinned_corpus)
    put(pytester, "contraction_linear_quadratic")
    path = pytester.path / "my_contraction_linear_quadratic.py"
    source = path.read_text()
    pytester.makepyfile("""
        def test_bound(verify_theorem):
            result = verify_theorem("my_contraction_linear_quadratic.py")
            assert result.in_scope >= 20
            assert 0.99 < result.max_ratio < 1
    """)
    path.write_text(source + LOOSE.format(factor=1))
    run(pytester)[0].assert_outcomes(passed=1)
    path.write_text(source + LOOSE.format(factor="19, 20"))
    result, out = run(pytester)
    result.assert_outcomes(failed=1)
    assert "contraction_linear_quadratic-v1 is VIOLATED: left > bound on 3 of 20 verdicts in scope" in out
    assert "smallest counterexample, task 0: linear-quadratic task, 1 by 1, optimal gain; kl-posterior" in out
    assert "meta-policy: K = " in out
    assert "replay: bomrl verify my_contraction_linear_quadratic.py --replay counterexamples/contraction_" in out


def test_linear_quadratic_control_is_compared_with_its_baseline(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected_module, "pinned_corpus", pinned_corpus)
    put(pytester, "contraction_linear_quadratic", "bound=gamma.symbol * D_rho", "bound=2 * gamma.symbol * D_rho")
    (pytester.path / "baselines").mkdir()
    former = judged([theorem_named("contraction_linear_quadratic")], pinned_corpus())[0]
    Baseline.of(former).write(pytester.path / "baselines")
    marked(pytester, '"my_contraction_linear_quadratic.py"')
    result, out = run(pytester, "--bomrl-baseline", "baselines")
    result.assert_outcomes(failed=1)
    assert "contraction_linear_quadratic-v1: looser by " in out
    assert "smaller on 0 of 21 verdicts" in out
    put(pytester, "contraction_linear_quadratic")
    run(pytester, "--bomrl-baseline", "baselines")[0].assert_outcomes(passed=1)


def test_a_dropped_assumption_is_told_with_the_baseline(pytester: pytest.Pytester) -> None:
    """Without it the claim is violated on the case that the baseline has kept."""
    source = (THEOREMS / "surrogate_bound.py").read_text()
    start = source.index("    assumptions=(")
    end = source.index("    witness=")
    (pytester.path / "surrogate_bound.py").write_text(source[:start] + source[end:])
    (pytester.path / "baselines").mkdir()
    Baseline.of(judged([theorem_named("surrogate_bound")], SMALL)[0]).write(pytester.path / "baselines")
    marked(pytester, '"surrogate_bound.py"')
    result, out = run(pytester, "--bomrl-baseline", "baselines")
    result.assert_outcomes(failed=1)
    assert "surrogate_bound-v1 is VIOLATED" in out
    assert "differs from the baseline in baselines:" in out
    assert "assumption 'lambda above kappa' dropped" in out
    assert "give it a new version, surrogate_bound-v2" in out


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("bound=(1 - 1 / C.symbol)", "bound=(1 - 1 / C.symbol) * 21 / 20", "looser by 1."),
        ('title="', 'title="About ', "coverage-v1: reworded"),
        ('id="coverage-v1"', 'id="coverage-v2"', "coverage-v1 -> coverage-v2: renumbered"),
    ],
)
def test_what_is_no_violation_is_seen_by_the_baseline_alone(
    pytester: pytest.Pytester, old: str, new: str, told: str
) -> None:
    put(pytester, old=old, new=new)
    (pytester.path / "baselines").mkdir()
    Baseline.of(judged([theorem_named("coverage")], SMALL)[0]).write(pytester.path / "baselines")
    marked(pytester, '"my_coverage.py"')
    run(pytester)[0].assert_outcomes(passed=1)
    result, out = run(pytester, "--bomrl-baseline", "baselines")
    result.assert_outcomes(failed=1)
    assert told in out
    put(pytester)
    run(pytester, "--bomrl-baseline", "baselines")[0].assert_outcomes(passed=1)


def test_a_baseline_that_is_not_there_is_an_error(pytester: pytest.Pytester) -> None:
    marked(pytester, '"coverage"')
    result, out = run(pytester, "--bomrl-baseline", "nowhere")
    result.assert_outcomes(failed=1)
    assert "no baseline of 'coverage' in " in out
    assert "bomrl regress --update" in out


def test_nothing_in_scope_is_a_failure_of_its_own(pytester: pytest.Pytester) -> None:
    put(pytester, "no_adaptation_kl", 'status="proved"', "assumptions=(NEVER,), status='proved'")
    path = pytester.path / "my_no_adaptation_kl.py"
    never = "from bomrl_theory.theory.theorem import Assumption\nNEVER = Assumption('never', '', gamma.symbol - 2)\n"
    text = path.read_text()
    path.write_text(text.replace("\nTHEOREM =", f"\n{never}\nTHEOREM ="))
    marked(pytester, '"my_no_adaptation_kl.py"')
    result, out = run(pytester)
    result.assert_outcomes(failed=1)
    assert "no_adaptation_kl-v1 was not tested: none of " in out
    assert "assumption 'never' does not hold" in out


UNDECIDED = """
import sympy as sp
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

x = gamma.symbol
TIE = Theorem(
    id="tie-v1", title="", statement="", source=Source("me", "here", "derived here"), status="conjectured",
    algorithms=("none",), left=sp.log(x**2 + 2 * x + 1), bound=2 * sp.log(1 + x), constants=(gamma,),
    witness=lambda: Case.new(two_arms(), [[1, 3]], "none"), tightness=0.1,
)
"""


def test_undecided_is_a_failure_of_its_own(pytester: pytest.Pytester) -> None:
    """Given as an object, too."""
    pytester.makepyfile(UNDECIDED + "\nimport pytest\n\n@pytest.mark.theorem(TIE)\ndef test_tie(): pass\n")
    result, out = run(pytester)
    result.assert_outcomes(failed=1)
    assert "tie-v1 is UNDECIDED on " in out
    assert "closer than the precision can tell" in out


def test_a_refuted_theorem_is_expected_to_be_violated(pytester: pytest.Pytester) -> None:
    marked(pytester, '"published_bound"')
    run(pytester)[0].assert_outcomes(passed=1)
    put(pytester, "published_bound")
    path = pytester.path / "my_published_bound.py"
    path.write_text(path.read_text() + "\nTHEOREM = THEOREM.scaled(10**6)\n")
    marked(pytester, '"my_published_bound.py"')
    result, out = run(pytester)
    result.assert_outcomes(failed=1)
    assert "registered as refuted, and none of " in out


def test_fixture_returns_the_result_or_fails_in_the_users_line(pytester: pytest.Pytester) -> None:
    put_too_small(pytester)
    pytester.makepyfile("""
        import pytest

        def test_result(verify_theorem):
            result = verify_theorem("coverage", families=["bandit:tasks=2"], cases=1)
            assert result.in_scope > 20
            assert 0.999 < result.max_ratio <= 1

        def test_failure(verify_theorem):
            verify_theorem("my_coverage.py")

        def test_unknown(verify_theorem):
            verify_theorem("coverge")
    """)
    result, out = run(pytester)
    result.assert_outcomes(passed=1, failed=2)
    assert '>       verify_theorem("my_coverage.py")' in out
    assert "E       AssertionError: coverage-v1 is VIOLATED" in out
    assert "error: unknown theorem 'coverge'; did you mean coverage" in out
    assert "pytest_plugin.py" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('"no_such_theorem"', "error: unknown theorem"),
        ('"missing.py"', "error: cannot read "),
        ('"coverage", cases=-1', "error: cases=-1 is negative"),
        ('"coverage", families="bandits"', "error: unknown family 'bandits'"),
        ('"coverage", case=1', "@pytest.mark.theorem: "),
        ("", "@pytest.mark.theorem: "),
    ],
)
def test_bad_marks_are_told_in_one_line(pytester: pytest.Pytester, arguments: str, told: str) -> None:
    marked(pytester, *filter(None, [arguments]))
    result, out = run(pytester)
    result.assert_outcomes(failed=1)
    assert told in out
    assert "Traceback" not in out


def test_with_processes(pytester: pytest.Pytester) -> None:
    """Each process of pytest-xdist judges its own tests; the same failure reaches the first process."""
    put_too_small(pytester)
    marked(pytester, '"my_coverage.py"')
    result = pytester.runpytest_subprocess(*PLUGIN, "-n", "1")
    result.assert_outcomes(failed=1)
    assert "coverage-v1 is VIOLATED" in result.stdout.str()


def test_unused_it_imports_nothing() -> None:
    """An installed plugin is loaded into every test session of its environment."""
    program = "import sys, bomrl_theory.pytest_plugin; print([m for m in sys.modules if m.startswith('bomrl_theory.')])"
    program += "; print([m for m in ('numpy', 'sympy', 'flint') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split("\n")[:2] == ["['bomrl_theory.pytest_plugin']", "[]"]


def test_the_mark_and_the_option_are_listed(pytester: pytest.Pytester) -> None:
    assert "@pytest.mark.theorem(theorem, *, cases=0, families=(), seed=0)" in run(pytester, "--markers")[1]
    assert "--bomrl-baseline=DIR" in run(pytester, "--help")[1]


def test_cases_are_of_the_setting_of_the_theorem() -> None:
    """Random finite MDPs say nothing about linear-quadratic control."""
    records = examined("contraction_linear_quadratic", cases=2).result.records
    assert {case.origin for case, _ in records} > {
        case.origin for case, _ in examined("contraction_linear_quadratic").result.records
    }
