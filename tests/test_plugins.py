"""Theorems of other packages: found through a real entry point, refused or left out with the package's name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bomrl_theory.errors import BrokenPlugin, InvalidTheorem
from bomrl_theory.theory.plugins import GROUP
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.verify.verdict import Outcome, judge

BOUND = """
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap_phi
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="{id}", title="rewards in [0, 1]", statement="", source=Source("me", "here", "derived here"),
    status="conjectured", algorithms=("none",), left=gap_phi.symbol, bound=1 / (1 - gamma.symbol),
    constants=(gap_phi, gamma), witness=lambda: Case.new(two_arms(), [[1, 3]], "none"), tightness=0.5,
)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package with one module and one entry point where Python finds it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(package: str, text: str, target: str | None = None) -> None:
        (tmp_path / f"{package}.py").write_text(text)
        information = tmp_path / f"{package}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[{GROUP}]\nbounds = {target or package}\n")
        registry.cache_clear()

    yield put
    registry.cache_clear()
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("target", ["plugin_one", "plugin_one:THEOREM", "plugin_one:ALL"])
def test_theorem_of_another_package_is_registered(install: Install, target: str) -> None:
    """A module, a theorem or a tuple; it stands behind the package's own and is judged like them."""
    own = list(registry())
    install("plugin_one", BOUND.format(id="elsewhere-v1") + "\nALL = (THEOREM,)\n", target)
    assert list(registry()) == [*own, "elsewhere-v1"]
    theorem = theorem_named("elsewhere")
    assert [verdict.outcome for verdict in judge(theorem, theorem.witness())] == [Outcome.HOLDS]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("x = 1\n", "neither a theorem"),
        (BOUND.format(id="no version"), "must read name-vN"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
    ids=["import", "no theorem", "invalid theorem", "error"],
)
def test_broken_package_is_named_and_left_out(install: Install, text: str, reason: str) -> None:
    """The other theorems stay, and what is missing is told."""
    own = list(registry())
    install("plugin_broken", text)
    with pytest.warns(BrokenPlugin, match=r"package 'plugin_broken' .* is left out: ") as caught:
        assert list(registry()) == own
    assert reason in str(caught[0].message)


def test_conflicts_are_errors_that_name_both(install: Install) -> None:
    """Neither a version of its own of our theorem nor the theorem of a third package is silently preferred."""
    install("plugin_conflict", BOUND.format(id="coverage-v2"))
    with pytest.raises(InvalidTheorem, match=r"'plugin_conflict' .* 'coverage-v2', .* bomrl_theory \(coverage-v1\)"):
        registry()


def test_two_packages_with_one_theorem(install: Install) -> None:
    install("plugin_first", BOUND.format(id="elsewhere-v1"))
    install("plugin_second", BOUND.format(id="elsewhere-v1"))
    with pytest.raises(InvalidTheorem, match=r"'plugin_second' .* 'plugin_first'"):
        registry()


def test_command_line_with_a_broken_and_a_working_package(install: Install, tmp_path: Path) -> None:
    """One warning line on stderr, the JSON on stdout intact, exit code 0."""
    install("plugin_working", BOUND.format(id="elsewhere-v1"))
    install("plugin_broken", "import nowhere_to_be_found\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from bomrl_theory.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", program, "list", "--json"], capture_output=True, text=True)
    assert run.returncode == 0
    assert "elsewhere-v1" in [row["id"] for row in json.loads(run.stdout)]
    assert run.stderr.startswith("warning: package 'plugin_broken' ")
    assert run.stderr.count("\n") == 1
