"""Family files: exact round trips, nothing half-written, and no way to crash the reader."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import drawn
from hypothesis import given
from hypothesis import strategies as st
from strategies import families

from bomrl_theory.errors import InvalidFile
from bomrl_theory.tasks import files
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import load_family, load_policy, save_family

ENDINGS = ("npz", "json")
either_format = pytest.mark.parametrize("ending", ENDINGS)
GOOD: dict[str, Any] = {"P": [[[[1.0]]]], "r": [[[0.5]]], "gamma": "1/2", "rho": [1.0]}


def assert_same(one: TaskFamily, other: TaskFamily) -> None:
    """Equal to the last bit."""
    for name in ("P", "r", "rho", "weights"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    assert (one.gamma, one.name, one.labels) == (other.gamma, other.name, other.labels)


@either_format
@given(family=families())
def test_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, ending: str, family: TaskFamily) -> None:
    """Every double, the exact discount and the name survive."""
    path = tmp_path_factory.mktemp("family") / f"family.{ending}"
    save_family(family, path)
    assert_same(load_family(path), family)


@either_format
def test_labels_and_names_survive(tmp_path: Path, ending: str) -> None:
    """Frozen Lake's tile names, and a name beyond ASCII."""
    lake = drawn("frozen-lake-high:tasks=2,gamma=4/5")
    family = TaskFamily(lake.P, lake.r, lake.gamma, lake.rho, lake.weights, "jää 湖", lake.labels)
    save_family(family, tmp_path / f"a.{ending}")
    assert_same(load_family(tmp_path / f"a.{ending}"), family)


def written_json(path: Path, content: Any) -> Path:
    """``content`` as a JSON file."""
    path = path / "family.json"
    path.write_text(json.dumps(content))
    return path


def written_npz(path: Path, content: dict[str, Any]) -> Path:
    """``content`` as an npz file."""
    path = path / "family.npz"
    np.savez_compressed(path, **content)
    return path


def test_probabilities_may_be_rounded_and_rho_shared(tmp_path: Path) -> None:
    """A hand-written file: rows summing to 1 within 1e-9, one start for all, no weights, no name."""
    content = {**GOOD, "P": [[[[0.3333333333, 0.6666666667]], [[0, 1]]]], "r": [[[1], [0]]], "rho": [1, 0]}
    family = load_family(written_json(tmp_path, content))
    assert (family.tasks, family.states, family.name) == (1, 2, "family")


SCHEMA_BREAKS: list[tuple[str, dict[str, Any], str]] = [
    ("unknown key", {"rewards": 1}, "unknown key 'rewards'; the schema has P, r, gamma"),
    ("rows", {"rows": "frequencies"}, "rows is 'frequencies'; it must be 'probabilities' or 'weights'"),
    ("rows list", {"rows": ["weights", "weights"]}, "rows"),
    ("row sum", {"P": [[[[0.9]]]]}, r"P\[tau=0, s=0, a=0\] sums to 0\.9, not 1"),
    ("ragged rho", {"rho": [[1.0], [1.0, 0.0]]}, "rho"),
    ("words", {"r": [[["a"]]]}, "r is not a rectangular array"),
    ("gamma", {"gamma": "1"}, r"gamma = 1 is outside \[0, 1\)"),
    ("gamma list", {"gamma": [0.5, 0.5]}, "gamma"),
    ("labels", {"labels": ["a", "b"]}, "2 state labels for 1 states"),
    ("NaN", {"r": [[[float("nan")]]]}, r"r\[tau=0, s=0, a=0\] is nan"),
]
JSON_BREAKS: list[tuple[str, dict[str, Any], str]] = [
    *SCHEMA_BREAKS,
    ("ragged labels", {"labels": [["a"], ["b", "c"]]}, "labels"),
    ("labels a number", {"labels": 3}, "labels"),
    ("beyond doubles", {"r": [[[10**400]]]}, "r"),
    ("null", {"gamma": None}, "gamma"),
    ("object", {"P": {"a": 1}}, "P"),
]
NPZ_BREAKS: list[tuple[str, dict[str, Any], str]] = [
    *(row for row in SCHEMA_BREAKS if row[0] != "ragged rho"),
    ("complex", {"r": np.array([[[1j]]])}, "r"),
    ("dates", {"r": np.array([[["2020-01-01"]]], dtype="datetime64[D]")}, "r"),
    ("records", {"r": np.zeros((1, 1, 1), dtype=[("x", float)])}, "r"),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in JSON_BREAKS], ids=[row[0] for row in JSON_BREAKS])
def test_broken_schema_in_json(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """The message names the file, the key and what is wrong with it."""
    with pytest.raises(InvalidFile, match=rf"family\.json: .*{message}"):
        load_family(written_json(tmp_path, {**GOOD, **change}))


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in NPZ_BREAKS], ids=[row[0] for row in NPZ_BREAKS])
def test_broken_schema_in_npz(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """The same checks guard the binary format."""
    with pytest.raises(InvalidFile, match=rf"family\.npz: .*{message}"):
        load_family(written_npz(tmp_path, {**GOOD, **change}))


@pytest.mark.parametrize("key", ["P", "r", "gamma", "rho"])
@pytest.mark.parametrize("write", [written_json, written_npz])
def test_missing_key(tmp_path: Path, key: str, write: Callable[[Path, dict[str, Any]], Path]) -> None:
    """Each required key is asked for by name."""
    with pytest.raises(InvalidFile, match=f"key '{key}' is missing; the schema needs P, r, gamma, rho"):
        load_family(write(tmp_path, {k: v for k, v in GOOD.items() if k != key}))


@pytest.mark.parametrize("text", ["[1, 2]", "3", '"text"', "null"])
def test_json_that_is_no_object(tmp_path: Path, text: str) -> None:
    """JSON of another kind is named as such."""
    path = tmp_path / "family.json"
    path.write_text(text)
    with pytest.raises(InvalidFile, match="not an object with the schema's keys"):
        load_family(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00garbage", b"[" * 100_000, b"PK\x03\x04rest"])
@either_format
def test_garbage(tmp_path: Path, ending: str, content: bytes) -> None:
    """Bytes that are no family file."""
    path = tmp_path / f"family.{ending}"
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=rf"family\.{ending}"):
        load_family(path)


@either_format
def test_every_truncation_is_noticed(tmp_path: Path, ending: str) -> None:
    """A file cut anywhere is refused: no prefix of a family is a family."""
    path = tmp_path / f"family.{ending}"
    save_family(drawn("chain:states=2,tasks=1"), path)
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidFile, match="perhaps truncated"):
            load_family(path)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_never_crash_the_reader(tmp_path: Path, seed: int) -> None:
    """A damaged archive gives a family that passes validation or an InvalidFile, nothing else."""
    path = tmp_path / "family.npz"
    save_family(drawn("chain:states=3,tasks=2"), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(50):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            load_family(path)
        except InvalidFile:
            refused += 1
    assert refused > 0


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    """Loading a file must never run code from it."""

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "exploded",))

    with pytest.raises(InvalidFile, match="not a readable npz archive"):
        load_family(written_npz(tmp_path, {**GOOD, "name": np.array([Bomb()], dtype=object)}))
    assert not (tmp_path / "exploded").exists()


def test_huge_announced_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that unpacks to more than the limit is refused before any of it is unpacked."""
    path = tmp_path / "family.npz"
    save_family(drawn("garnet"), path)
    monkeypatch.setattr(files, "MAXIMUM_ENTRIES", 100)
    monkeypatch.setattr(np, "load", lambda *args, **kwargs: pytest.fail("unpacked before the size was checked"))
    with pytest.raises(InvalidFile, match=r"unpacks to .* GiB; the limit is"):
        load_family(path)


def test_header_that_announces_more_than_there_is(tmp_path: Path) -> None:
    """An array header is not believed: a terabyte announced by 100 bytes is a damaged file."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**3, 10, 10**3)}
    )
    path = tmp_path / "family.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("P.npy", header.getvalue() + bytes(8))
    with pytest.raises(InvalidFile, match="not a readable npz archive"):
        load_family(path)


@pytest.mark.parametrize("name", ["family.txt", "family", "family.npz.bak"])
def test_unknown_ending(tmp_path: Path, name: str) -> None:
    """Only the two documented formats are read and written."""
    for action in (load_family, lambda path: save_family(drawn("bandit"), path)):
        with pytest.raises(InvalidFile, match=r"use \.npz or \.json"):
            action(tmp_path / name)
    assert not list(tmp_path.iterdir())


@either_format
def test_absent_file_and_directory(tmp_path: Path, ending: str) -> None:
    """Both are told apart from a damaged file."""
    (tmp_path / f"folder.{ending}").mkdir()
    for name in ("absent", "folder"):
        with pytest.raises(InvalidFile, match=f"cannot read .*{name}"):
            load_family(tmp_path / f"{name}.{ending}")


@either_format
def test_place_that_cannot_be_written(tmp_path: Path, ending: str) -> None:
    """A missing folder, a file in place of a folder, and a folder in place of the file."""
    (tmp_path / "file").write_text("here first")
    (tmp_path / f"taken.{ending}").mkdir()
    family = drawn("bandit")
    for place in (tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(InvalidFile, match=r"cannot write .*choose a writable place"):
            save_family(family, place / f"family.{ending}")
    with pytest.raises(InvalidFile, match=r"cannot write .*choose a writable place"):
        save_family(family, tmp_path / f"taken.{ending}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", f"taken.{ending}"]


@either_format
@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-C"]
)
def test_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, failure: BaseException
) -> None:
    """The old file stays whole, and no temporary file stays behind."""
    path = tmp_path / f"family.{ending}"
    old = drawn("bandit", 1)
    save_family(old, path)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise failure

    monkeypatch.setattr(np, "savez_compressed", fail)
    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(InvalidFile if isinstance(failure, OSError) else KeyboardInterrupt):
        save_family(drawn("bandit", 2), path)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    assert_same(load_family(path), old)


def test_policy_file(tmp_path: Path) -> None:
    """A policy is one numeric array; everything else is refused."""
    path = tmp_path / "phi.npy"
    np.save(path, np.array([[0.25, 0.75]]))
    assert load_policy(path).tolist() == [[0.25, 0.75]]
    np.save(path, np.array([["a"]]))
    with pytest.raises(InvalidFile, match="does not hold one numeric array"):
        load_policy(path)
    path.write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(InvalidFile, match="perhaps truncated"):
        load_policy(path)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidFile, match="not a readable npy file"):
        load_policy(path)
    with pytest.raises(InvalidFile, match="cannot read"):
        load_policy(tmp_path / "absent.npy")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_survives_json(tmp_path_factory: pytest.TempPathFactory, reward: float) -> None:
    """Decimal text carries each double exactly, the smallest and the largest included."""
    family = TaskFamily.new([[[[1.0]]]], [[[reward]]], "1/3", [1.0])
    path = tmp_path_factory.mktemp("double") / "family.json"
    save_family(family, path)
    assert_same(load_family(path), family)
