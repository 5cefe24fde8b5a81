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

from bomrl_theory.errors import InvalidFile, InvalidTask
from bomrl_theory.tasks import files
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import load_family, load_policy, save_family
from bomrl_theory.tasks.sparse import SparseMDP
from bomrl_theory.tasks.sparse_family import SparseFamily

ENDINGS = ("npz", "json")
either_format = pytest.mark.parametrize("ending", ENDINGS)
GOOD: dict[str, Any] = {"P": [[[[1.0]]]], "r": [[[0.5]]], "gamma": "1/2", "rho": [1.0]}


def assert_same(one: TaskFamily | SparseFamily, other: TaskFamily) -> None:
    """Equal to the last bit."""
    assert isinstance(one, TaskFamily)
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


# --- sparse families ---

SPARSE: dict[str, Any] = {  # 2 states, 2 actions, 1 task: s0 stays or moves, s1 splits or stays
    "P_data": [1.0, 1.0, 0.25, 0.75, 1.0],
    "P_indices": [0, 1, 0, 1, 1],
    "P_indptr": [0, 1, 2, 4, 5],
    "r": [[[0.0, 0.5], [1.0, 0.0]]],
    "gamma": "1/2",
    "rho": [1.0, 0.0],
}
TWO_TASKS: dict[str, Any] = {
    **SPARSE,
    "P_data": SPARSE["P_data"] * 2,
    "P_indices": SPARSE["P_indices"] * 2,
    "P_indptr": [0, 1, 2, 4, 5, 6, 7, 9, 10],
    "r": SPARSE["r"] * 2,
}


def assert_same_sparse(one: SparseFamily, other: SparseFamily) -> None:
    """Equal to the last bit."""
    assert (one.gamma, one.name, one.sha256) == (other.gamma, other.name, other.sha256)
    for mine, theirs in zip(one, other, strict=True):
        for name in ("data", "indices", "indptr"):
            assert np.array_equal(getattr(mine.P, name), getattr(theirs.P, name))


def sparse(family: TaskFamily | SparseFamily) -> SparseFamily:
    assert isinstance(family, SparseFamily)
    return family


@either_format
@given(family=families())
def test_sparse_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, ending: str, family: TaskFamily) -> None:
    """Every weight, successor and the exact discount survive, whatever the dense family's zeros."""
    path = tmp_path_factory.mktemp("sparse") / f"family.{ending}"
    saved = SparseFamily.from_dense(family)
    save_family(saved, path)
    assert_same_sparse(sparse(load_family(path)), saved)


@either_format
@pytest.mark.parametrize("spec", ["sparse-garnet:states=30,tasks=2", "slippery-grid:side=4,tasks=3,slip=0"])
def test_named_sparse_families_round_trip(tmp_path: Path, ending: str, spec: str) -> None:
    """Stored zeros stay, and tasks that share their moves share them in the file, too."""
    family = sparse(drawn(spec))
    path = tmp_path / f"family.{ending}"
    save_family(family, path)
    loaded = sparse(load_family(path))
    assert_same_sparse(loaded, family)
    shared = family[0].P is family[1].P
    assert (loaded[0].P is loaded[1].P) == shared == spec.startswith("slippery")


def test_a_sparse_file_written_by_hand(tmp_path: Path) -> None:
    """Probabilities are the default; weights give fractions exactly; 32-bit and unsigned indices are as good."""
    family = sparse(load_family(written_json(tmp_path, SPARSE)))
    assert (family.tasks, family.states, family.actions, family.name) == (1, 2, 2, "family")
    assert family[0].dense().P.tolist() == [[[1, 0], [0, 1]], [[0.25, 0.75], [0, 1]]]
    thirds = {
        **SPARSE,
        "P_data": np.array([1, 1, 1, 2, 1]),
        "rows": "weights",
        "P_indptr": np.array([0, 1, 2, 4, 5], dtype=np.uint8),
    }
    weighted = sparse(load_family(written_npz(tmp_path, thirds)))
    assert weighted[0].P.data.tolist() == [1, 1, 1, 2, 1]
    two = sparse(load_family(written_json(tmp_path, TWO_TASKS)))
    one = sparse(load_family(written_json(tmp_path, {**SPARSE, "r": TWO_TASKS["r"]})))
    assert one[0].P is one[1].P
    assert two[0].P is not two[1].P
    assert one.sha256 == two.sha256
    assert all((mine.P != theirs.P).nnz == 0 for mine, theirs in zip(one, two, strict=True))


SPARSE_BREAKS: list[tuple[str, dict[str, Any], str]] = [
    ("row sum", {"P_data": [1, 1, 0.25, 0.5, 1]}, r"P\[tau=0, s=1, a=0\] sums to 0\.75, not 1 .*divide the row"),
    ("negative", {"P_data": [1, 1, 1.25, -0.25, 1]}, r"P\[tau=0, s=1, a=0, s'=1\] = -0\.25 is negative"),
    ("NaN", {"P_data": [1, 1, 0.25, float("nan"), 1]}, r"P\[tau=0, s=1, a=0, s'=1\] = nan is not finite"),
    ("infinite", {"P_data": [1, float("inf"), 0.25, 0.75, 1]}, r"P\[tau=0, s=0, a=1, s'=1\] = inf is not finite"),
    ("beyond", {"P_indices": [0, 2, 0, 1, 1]}, r"P\[tau=0, s=0, a=1, s'=2\] in P_indices is no state.* 0 to 1"),
    ("below", {"P_indices": [-1, 1, 0, 1, 1]}, r"P\[tau=0, s=0, a=0, s'=-1\] in P_indices is no state"),
    ("unsorted", {"P_indices": [0, 1, 1, 0, 1]}, r"P\[tau=0, s=1, a=0, s'=0\] is stored after s'=1; sort"),
    ("twice", {"P_indices": [0, 1, 1, 1, 1]}, r"P\[tau=0, s=1, a=0, s'=1\] is stored twice; .*sum_duplicates"),
    ("no successor", {"P_indptr": [0, 1, 1, 4, 5]}, r"P\[tau=0, s=0, a=1\] has no successor; give it one"),
    ("falling", {"P_indptr": [0, 4, 2, 4, 5]}, r"P\[tau=0, s=0, a=1\] has an end before its start in P_indptr"),
    ("overflow", {"P_indptr": [0, 2**31 - 1, -(2**31), 4, 5]}, r"P\[tau=0, s=0, a=1\] has an end before its start"),
    ("first row", {"P_indptr": [1, 2, 3, 4, 5]}, "P_indptr goes from 1 to 5; it must go from 0"),
    ("last row", {"P_indptr": [0, 1, 2, 4, 6]}, "P_indptr goes from 0 to 6; .* length of P_indices, 5"),
    ("rows", {"P_indptr": [0, 1, 2, 5]}, "P_indptr has 4 entries; 4 rows of 2 states ask for 5"),
    ("rows of two", {"P_indptr": [0, 1, 2, 4, 5], "r": [[[0]], [[1]]]}, "P_indptr has 5 entries; 2 rows of 1 states"),
    ("cut data", {"P_data": [1, 1, 0.25]}, "P_data has 3 entries, P_indices 5"),
    ("matrix", {"P_data": [[1, 1, 0.25, 0.75, 1]]}, r"P_data has shape \[1, 5\]; it must be one row"),
    ("fractions", {"P_indices": [0.0, 1, 0, 1, 1]}, "P_indices holds float64, not whole numbers"),
    ("words", {"P_data": ["a"] * 5}, "P_data is not a rectangular array of numbers"),
    ("rewards", {"r": [[[0, 0], [float("nan"), 0]]]}, r"r\[tau=0, s=1, a=0\] is nan"),
    ("flat rewards", {"r": [0, 1]}, r"r has shape \[2\]; expected \[tau, s, a\]"),
    ("start", {"rho": [0.5, 0.25]}, "rho sums to 0.75, not 1"),
    ("starts", {"rho": [[1.0, 0], [1, 0]]}, r"rho has shape \[2, 2\]; r asks for \[1, 2\] or \[2\]"),
    ("task weights", {"weights": [1, 1]}, "weights has shape"),
    ("gamma", {"gamma": "3/2"}, r"gamma = 3/2 is outside \[0, 1\)"),
    ("labels", {"labels": ["a", "b"]}, "unknown key 'labels'; the schema of sparse families has P_data, "),
    ("dense, too", {"P": [[[[1.0]]]]}, "unknown key 'P'; the schema of sparse families has P_data, "),
]


@pytest.mark.parametrize(
    ("change", "message"), [row[1:] for row in SPARSE_BREAKS], ids=[row[0] for row in SPARSE_BREAKS]
)
@pytest.mark.parametrize("write", [written_json, written_npz])
def test_broken_sparse_schema(
    tmp_path: Path, change: dict[str, Any], message: str, write: Callable[[Path, dict[str, Any]], Path]
) -> None:
    """The message is one line that names the file, the array, the place and the remedy."""
    with pytest.raises(InvalidFile, match=rf"family\.(json|npz): .*{message}") as found:
        load_family(write(tmp_path, {**SPARSE, **change}))
    assert "\n" not in str(found.value)


def test_a_bad_task_among_several_is_named(tmp_path: Path) -> None:
    """Rows are numbered over all tasks."""
    data = [*TWO_TASKS["P_data"][:7], 0.5, *TWO_TASKS["P_data"][8:]]
    with pytest.raises(InvalidFile, match=r"P\[tau=1, s=1, a=0\] sums to 1\.25"):
        load_family(written_json(tmp_path, {**TWO_TASKS, "P_data": data}))
    shared = {**SPARSE, "r": TWO_TASKS["r"], "P_data": [1, 1, 0.5, 0.75, 1]}
    with pytest.raises(InvalidFile, match=r"P\[s=1, a=0\] sums to 1\.25"):
        load_family(written_json(tmp_path, shared))


@pytest.mark.parametrize("key", ["P_data", "P_indices", "P_indptr", "r", "gamma", "rho"])
def test_missing_sparse_key(tmp_path: Path, key: str) -> None:
    """Each required key is asked for by name."""
    with pytest.raises(InvalidFile, match=f"key '{key}' is missing; the schema of sparse families needs P_data, P_ind"):
        load_family(written_npz(tmp_path, {k: v for k, v in SPARSE.items() if k != key}))


@either_format
def test_every_truncation_of_a_sparse_file_is_noticed(tmp_path: Path, ending: str) -> None:
    """A file cut anywhere is refused."""
    path = tmp_path / f"family.{ending}"
    save_family(drawn("sparse-garnet:states=6"), path)
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidFile, match="perhaps truncated"):
            load_family(path)


@pytest.mark.parametrize("seed", range(4))
def test_changed_entries_of_a_sparse_file_never_crash_the_reader(tmp_path: Path, seed: int) -> None:
    """Entries that no archive's checksum guards: what is loaded walks through its rows without leaving them."""
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(40):
        content = {key: np.array(value) for key, value in TWO_TASKS.items()}
        for key in rng.choice(["P_data", "P_indices", "P_indptr"], 2):
            content[key][rng.integers(len(content[key]))] = rng.integers(-3, 12)
        try:
            family = sparse(load_family(written_npz(tmp_path, {**content, "rows": "weights"})))
            for task in family:
                task.P.check_format(full_check=True)
        except InvalidFile:
            refused += 1
    assert refused > 0


def test_own_matrices_in_python() -> None:
    """Any SciPy format, a row a state and action, or a matrix an action; unsorted rows are refused, not walked."""
    from scipy.sparse import coo_array, csr_array

    r, rho = np.array(SPARSE["r"][0]), SPARSE["rho"]
    parts = tuple(np.array(SPARSE[key]) for key in ("P_data", "P_indices", "P_indptr"))
    task = SparseMDP.new(csr_array(parts, shape=(4, 2)), r, "1/2", rho)
    assert task.P.data.tolist() == SPARSE["P_data"]
    stay, move = coo_array(np.array([[1, 0], [0.25, 0.75]])), csr_array(np.array([[0, 1], [0, 1]]))
    assert np.array_equal(SparseMDP.of_actions([stay, move], r, "1/2", rho).dense().P, task.dense().P)
    family = SparseFamily.new(parts, r[None], "1/2", rho)
    assert family.sha256 == SparseFamily.of([task]).sha256
    parts[0][:] = 7  # the family has its own copy
    assert family[0].P.data.tolist() == SPARSE["P_data"]
    unsorted = csr_array((np.array([0.5, 0.5] * 4), np.array([1, 0] * 4), np.arange(0, 9, 2)), shape=(4, 2))
    for wrong, message in (
        (unsorted, "is stored after s'=1"),
        (csr_array((np.ones(4), np.array([0, 1, 5, 0]), np.arange(5))), "P has shape"),
        (parts[:2], r"P is a tuple of 2; CSR parts are three"),
        (np.eye(2), "P is not a SciPy sparse array"),
        (csr_array(np.array([[1, 0]] * 4), dtype=complex), "P holds complex128, not real numbers"),
        (csr_array(np.array([[2**53 + 1, 0]] * 4)), r"P_data\[entry=0\] = 9007199254740993 is not a double"),
    ):
        with pytest.raises(InvalidTask, match=message):
            SparseMDP.new(wrong, r, "1/2", rho, weights=True)
    with pytest.raises(InvalidTask, match=r"P must hold 2 SciPy sparse arrays \[2, 2\], one for each action"):
        SparseMDP.of_actions([stay], r, "1/2", rho)
