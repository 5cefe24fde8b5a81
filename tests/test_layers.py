"""The house rule: imports go downward only, and the core needs no optional dependency."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bomrl_theory

ROOT = Path(bomrl_theory.__file__).parent
LAYERS = (
    "errors",
    "markup",
    "discovery",
    "numbers",
    "tasks",
    "exact",
    "adapt",
    "linear_quadratic",
    "meta",
    "theory",
    "theorems",
    "formal",
    "verify",
    "campaign",
    "control",
    "report",
    "regress",
    "api",
    "cli",
    "pytest_plugin",
)
"""From the bottom to the top."""
TOP = ("__init__", "__main__")
"""May import everything."""
DISCOVERY = {
    ("theory/registry.py", "theorems"),
    ("meta/certified_step.py", "theory"),
    ("meta/certified_step.py", "theorems"),
}
"""Where a lower layer looks up, when asked, what a higher one registers."""
OPTIONAL = (
    "torch",
    "cvxpy",
    "matplotlib",
    "pandas",
    "gymnasium",
    "mujoco",
    "joblib",
    "pyarrow",
    "distributed",
)

MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def layer_of(module: Path) -> str:
    """``tasks/mdp.py`` belongs to tasks, ``errors.py`` to errors."""
    return module.parts[0].removesuffix(".py")


def imported_layers(module: Path) -> Iterator[str]:
    """The layers that a module imports anywhere in its text, also inside functions."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: write imports in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == ROOT.name and rest:
                yield rest.split(".")[0]


@pytest.mark.parametrize("module", [m for m in MODULES if layer_of(m) not in TOP], ids=str)
def test_imports_go_downward(module: Path) -> None:
    """A module imports its own layer and lower ones; a new layer must be given its place in LAYERS."""
    own = LAYERS.index(layer_of(module))
    for layer in imported_layers(module):
        if (module.as_posix(), layer) not in DISCOVERY:
            assert LAYERS.index(layer) <= own, f"{module} ({LAYERS[own]}) imports {layer}"


def test_the_reader_of_imports_sees_them() -> None:
    """The rule above is not vacuous."""
    assert set(imported_layers(Path("verify/verdict.py"))) >= {"errors", "numbers", "theory"}
    assert "theorems" in set(imported_layers(Path("theory/registry.py")))


@pytest.mark.parametrize(
    "core",
    ["bomrl_theory", "bomrl_theory.verify.run", "bomrl_theory.theory.registry", "bomrl_theory.meta.hypergradient"],
)
def test_core_imports_no_optional_dependency(core: str) -> None:
    """A fresh interpreter that imports the core has loaded none of the extras."""
    program = f"import sys, bomrl_theory, {core}; print([m for m in {OPTIONAL!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
