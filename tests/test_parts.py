"""Long runs in parts: nothing finished is lost, nothing is made twice, another run's file is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from bomrl_theory.errors import InvalidFile, LostWorker
from bomrl_theory.verify.parts import Finished, run_parts

RUN = {"seed": 0, "sizes": [1, 2]}


def noted(part: str, folder: Path) -> dict[str, str]:
    """Work that leaves a trace each time it is done."""
    with (folder / part).open("a") as file:
        file.write("x")
    return {"made": part}


def test_parts_come_in_order_whatever_the_workers(tmp_path: Path) -> None:
    work = partial(noted, folder=tmp_path)
    names = ["c", "a", "b"]
    found = [run_parts(tmp_path / f"{n}.jsonl", RUN, names, work, workers=n) for n in (1, 2)]
    assert found[0] == found[1] == [{"made": name} for name in names]


def test_a_cut_run_makes_only_the_rest(tmp_path: Path) -> None:
    file, work = tmp_path / "parts.jsonl", partial(noted, folder=tmp_path)
    run_parts(file, RUN, ["a", "b"], work)
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])  # the kill came while the last line was written
    assert run_parts(file, RUN, ["a", "b", "c"], work) == [{"made": part} for part in "abc"]
    traces = [len((tmp_path / part).read_text()) for part in "abc"]
    made = [json.loads(line).get("part") for line in whole.splitlines()]
    twice = made[-1]
    assert traces == [1 + (part == twice) for part in "abc"]
    assert len(file.read_text().splitlines()) == 4


@pytest.mark.parametrize("text", ['{"seed": 1}\n', "[]\nnot JSON\n", '{"seed": 0, "sizes": [1, 2]}\n{"chunk": 1}\n'])
def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    file = tmp_path / "parts.jsonl"
    file.write_text(text)
    with pytest.raises(InvalidFile, match="move it away"):
        Finished(file, RUN)
    assert file.read_text() == text


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="choose a writable place"):
        Finished(tmp_path / "missing" / "parts.jsonl", RUN)


def ended(part: str) -> None:
    """Work that takes its process down."""
    os._exit(3)


def test_a_lost_process_is_told(tmp_path: Path) -> None:
    with pytest.raises(LostWorker, match="ended without a word"):
        run_parts(tmp_path / "parts.jsonl", RUN, ["a"], ended)


def test_an_experiment_tells_bad_input_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "lake.parts.jsonl").write_text('{"seed": 1}\n')
    script = Path(__file__).resolve().parent.parent / "experiments" / "frozen_lake.py"
    done = subprocess.run([sys.executable, script, "-o", "lake"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: lake.parts.jsonl holds parts of another run")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["lake.parts.jsonl"]
