"""Task families on disk, dense and sparse: npz and JSON, one schema, exact round-trip.

| key | shape | meaning |
|---|---|---|
| ``P`` | [T, S, A, S] | transition probabilities (rows sum to 1 within 1e-9, then normalised exactly) |
| ``P_data``, ``P_indices``, ``P_indptr`` | [N], [N], [T*S*A + 1] | instead of ``P``, sparse: CSR (:mod:`.csr`) |
| ``r`` | [T, S, A] | rewards |
| ``gamma`` | number, or a string such as ``"4/5"`` | discount in [0, 1), exact |
| ``rho`` | [T, S] or [S] | start distribution |
| ``weights`` | [T], optional | task weights, equal when left out |
| ``rows`` | ``"probabilities"`` (default) or ``"weights"`` | with weights, every row is divided by its sum |
| ``name`` | text, optional | how reports call the family |
| ``labels`` | [S] texts, optional | state names, of a dense family |

With ``P_indptr`` of length S*A + 1, all tasks of a sparse family share their transitions.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidFile, InvalidTask
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import MAXIMUM_ENTRIES
from bomrl_theory.tasks.sparse_family import SparseFamily

CSR = ("P_data", "P_indices", "P_indptr")
KEYS = ("P", "r", "gamma", "rho", "weights", "rows", "name", "labels")
REQUIRED = ("P", "r", "gamma", "rho")
SPARSE_KEYS = (*CSR, "r", "gamma", "rho", "weights", "rows", "name")
SPARSE_REQUIRED = (*CSR, "r", "gamma", "rho")


def check_directory(directory: Path) -> None:
    """Require that ``directory`` can be created or written, without leaving a trace.

    Raises:
        InvalidFile: it cannot.
    """
    existing = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InvalidFile(f"cannot write {directory}: {error.strerror}; choose a writable directory") from None


UNREADABLE = (
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    MemoryError,
    SyntaxError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
)
"""What NumPy and zipfile raise on damaged archives."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that replaces it only when the block ends well.

    Raises:
        InvalidFile: the place cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    except OSError as error:
        raise InvalidFile(f"cannot write {path}: {error.strerror}; choose a writable place") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        temporary.replace(path)
    except OSError as error:
        raise InvalidFile(f"cannot write {path}: {error.strerror}; choose a writable place") from None
    finally:
        temporary.unlink(missing_ok=True)


def to_mapping(family: TaskFamily | SparseFamily) -> dict[str, Any]:
    """The family as the schema's keys, losing nothing."""
    sparse = isinstance(family, SparseFamily)
    return {
        **(dict(zip(CSR, family.parts(), strict=True)) if sparse else {"P": family.P}),
        "r": family.r,
        "gamma": str(family.gamma),
        "rho": family.rho,
        "weights": family.weights,
        "rows": "weights",
        "name": family.name,
        **({"labels": list(family.labels)} if family.labels else {}),
    }


def from_mapping(mapping: dict[str, Any], *, name: str) -> TaskFamily | SparseFamily:
    """Validate a mapping that follows the schema.

    Raises:
        InvalidTask: a key is missing, unknown or invalid.
    """
    sparse = any(key in mapping for key in CSR)
    known, required = (SPARSE_KEYS, SPARSE_REQUIRED) if sparse else (KEYS, REQUIRED)
    schema = "the schema of sparse families" if sparse else "the schema"
    for key in mapping:
        if key not in known:
            raise InvalidTask(f"unknown key '{key}'; {schema} has {', '.join(known)}")
    for key in required:
        if key not in mapping:
            raise InvalidTask(f"key '{key}' is missing; {schema} needs {', '.join(required)}")
    rows = _plain(mapping.get("rows", "probabilities"))
    if not isinstance(rows, str) or rows not in ("probabilities", "weights"):
        raise InvalidTask(f"rows is {rows!r}; it must be 'probabilities' or 'weights'")
    labels = mapping.get("labels", ())
    labels = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
        raise InvalidTask(f"labels is {labels!r:.60}; it must be a list of texts, one for each state")
    name = _plain(mapping.get("name", name))
    if not isinstance(name, str):
        raise InvalidTask(f"name is {name!r:.60}; it must be a text")
    arrays = mapping["r"], _plain(mapping["gamma"]), mapping["rho"], mapping.get("weights")
    row_weights = rows == "weights"
    if sparse:
        return SparseFamily.new(tuple(mapping[key] for key in CSR), *arrays, name=name, row_weights=row_weights)
    return TaskFamily.new(mapping["P"], *arrays, name=name, labels=labels, row_weights=row_weights)


def _plain(value: Any) -> Any:
    """A zero-dimensional NumPy array as the Python scalar it holds."""
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def check_ending(path: Path) -> None:
    """Require a name that tells the format.

    Raises:
        InvalidFile: another ending than ``.npz`` or ``.json``.
    """
    if path.suffix not in (".npz", ".json"):
        raise InvalidFile(f"{path}: unknown ending '{path.suffix}'; use .npz or .json")


def save_family(family: TaskFamily | SparseFamily, path: str | Path) -> None:
    """Write ``path`` (``.npz`` or ``.json``) whole or not at all.

    Raises:
        InvalidFile: another ending, or the place cannot be written.
    """
    path = Path(path)
    check_ending(path)
    mapping = to_mapping(family)
    with replacing(path) as temporary:
        if path.suffix == ".npz":
            with temporary.open("wb") as file:
                np.savez_compressed(file, **mapping)
        else:
            temporary.write_text(json.dumps({k: listed(v) for k, v in mapping.items()}) + "\n")


def listed(value: Any) -> Any:
    """An array as nested lists, anything else as it is: for JSON."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def load_family(path: str | Path) -> TaskFamily | SparseFamily:
    """Read a family file.

    Raises:
        InvalidFile: unreadable, truncated, too large, or its content breaks the schema (the message
            names the file, the key and the remedy).
    """
    path = Path(path)
    check_ending(path)
    try:
        mapping = read_npz(path) if path.suffix == ".npz" else read_json(path)
        for value in mapping.values():
            if isinstance(value, np.ndarray):  # nobody else has it: it need not be copied
                value.setflags(write=False)
        return from_mapping(mapping, name=path.stem)
    except InvalidTask as error:
        raise InvalidFile(f"{path}: {error}") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidFile: unreadable, not JSON, or not an object.
    """
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidFile(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{path} is not valid JSON, perhaps truncated: {error}") from None
    if not isinstance(mapping, dict):
        raise InvalidFile(f"{path} holds a {type(mapping).__name__}, not an object with the schema's keys")
    return mapping


def read_npz(path: Path) -> dict[str, Any]:
    """The arrays of an npz archive, refusing pickled objects and absurd sizes.

    Raises:
        InvalidFile: unreadable, truncated or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            announced = sum(entry.file_size for entry in archive.infolist())
        if announced > 8 * MAXIMUM_ENTRIES:
            raise InvalidFile(
                f"{path} unpacks to {announced / 2**30:.1f} GiB; the limit is {8 * MAXIMUM_ENTRIES / 2**30:.1f} GiB"
            )
        with _unwarned(), np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except OSError as error:
        raise InvalidFile(f"cannot read {path}: {error.strerror or error}") from None
    except UNREADABLE as error:
        raise InvalidFile(f"{path} is not a readable npz archive, perhaps truncated: {error}") from None


@contextmanager
def _unwarned() -> Iterator[None]:
    """A header in Python 2's notation is read like any other; NumPy would advise to save the file again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Reading `.npy` or `.npz` file required additional header parsing")
        yield


def load_policy(path: str | Path) -> Float64[Array, "..."]:
    """What should be a meta-policy [S, A], from an npy file; :func:`check_policy` validates its shape and content.

    Raises:
        InvalidFile: unreadable, truncated, or not numeric.
    """
    path = Path(path)
    try:
        with _unwarned():
            array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InvalidFile(f"cannot read {path}: {error.strerror or error}") from None
    except UNREADABLE as error:
        raise InvalidFile(f"{path} is not a readable npy file, perhaps truncated: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InvalidFile(f"{path} does not hold one numeric array [S, A]; save it with numpy.save")
    return np.asarray(array, dtype=np.float64)
