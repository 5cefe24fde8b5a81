"""Array shapes are checked while the tests run; hypothesis runs reproducibly unless told otherwise."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import runtime_checkable

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings

CHECKED = (
    "numbers.system",
    "numbers.floats",
    "numbers.flint",
    "numbers.enclosures",
    "tasks",
    "exact.enclose",
    "exact.evaluate",
    "exact.large",
    "exact.linear_program",
    "exact.model",
    "exact.reachability",
    "exact.solve",
    "exact.solved",
    "adapt",
    "linear_quadratic",
    "meta",
    "theory",
    "verify",
    "control",
)
jaxtyping.install_import_hook([f"bomrl_theory.{layer}" for layer in CHECKED], "beartype.beartype")

from bomrl_theory.numbers import Numbers  # noqa: E402  (only after the hook)

runtime_checkable(Numbers)  # so that beartype can check annotations that name the protocol

from helpers import Bomrl  # noqa: E402  (only after that)

from bomrl_theory import cli  # noqa: E402

UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "ci", max_examples=25, deadline=None, derandomize=True, print_blob=True, suppress_health_check=UNHURRIED
)
settings.register_profile("thorough", max_examples=1000, deadline=None, suppress_health_check=UNHURRIED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    """Beartype picks the items of a container that it checks with ``random``, also inside strategies."""
    # torch.func.jvp compiles its rules when it is first called.
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit.script` is deprecated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")


@pytest.fixture
def bomrl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bomrl:
    """Run ``bomrl`` in an empty directory: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "SECONDS_A_LINE", float("inf"))  # however slow the machine is

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bomrl", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run
