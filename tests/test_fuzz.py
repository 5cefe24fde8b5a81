"""Damaged input: a sample of ``experiments/fuzz.py``, and that it would notice what it looks for."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from helpers import experiment

from bomrl_theory.tasks import files

ROOT = Path(__file__).resolve().parent.parent
INPUTS = 100


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    return experiment("fuzz")


def attacked(fuzz: ModuleType, directory: Path, inputs: int, seed: str) -> list[tuple[str, int, str]]:
    rng = random.Random(seed)
    found = []
    for index in range(inputs):
        place = directory / str(index)
        place.mkdir()
        command, arguments = fuzz.attack(rng, directory / "valid", place)
        outcome = fuzz.judged(arguments, place)
        found.append((command, outcome.code, outcome.wrong))
    return found


def test_undamaged_input_is_accepted(fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what is damaged is read, and nothing before it refuses the command; only the report's folder holds more."""
    monkeypatch.setattr(fuzz, "damage", lambda path, rng: None)
    monkeypatch.setattr(fuzz, "damaged_arguments", lambda arguments, rng: None)
    commands = [entry for entry in fuzz.COMMANDS if entry[0] and entry[2]]
    for index, (_, command, target) in enumerate(commands):
        monkeypatch.setattr(fuzz, "COMMANDS", ((1, command, target),))
        place = tmp_path / str(index)
        place.mkdir()
        _, arguments = fuzz.attack(random.Random(0), tmp_path / "valid", place)
        outcome = fuzz.judged(arguments, place)
        if command.startswith("report"):
            assert "holds notes.txt, which no report wrote" in outcome.err
        else:
            assert (outcome.code, outcome.err, outcome.wrong) == (0, "", ""), command


def test_damaged_input_is_told(fuzz: ModuleType, tmp_path: Path) -> None:
    found = attacked(fuzz, tmp_path, INPUTS, "sample")
    assert [wrong for _, _, wrong in found if wrong] == []
    assert Counter(code for _, code, _ in found)[2] > INPUTS / 3, "most damage should be noticed"
    assert len({command for command, _, _ in found}) > 10


def test_a_traceback_would_be_noticed(fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that does not catch what NumPy raises."""
    monkeypatch.setattr(files, "UNREADABLE", ())
    wrong = [wrong for _, _, wrong in attacked(fuzz, tmp_path, INPUTS, "sample") if wrong]
    assert any(text.startswith("traceback") for text in wrong)


def test_what_is_left_behind_would_be_noticed(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused input that changed a file, a temporary file, a hang."""
    (tmp_path / "family.json").write_text("{}")

    def half_written() -> None:
        Path("family.json").write_text("")
        Path(".run.tmp").write_text("")
        print("error: refused", file=sys.stderr)
        sys.exit(2)

    def endless() -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz.cli, "main", half_written)
    wrong = fuzz.judged(["verify"], tmp_path).wrong
    assert "refused, and yet wrote" in wrong
    assert "family.json is no JSON" in wrong
    assert "left .run.tmp" in wrong
    monkeypatch.setattr(fuzz.cli, "main", endless)
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    assert fuzz.judged(["verify"], tmp_path).wrong.startswith("hang")
