"""A training run on disk that survives being killed at any moment and goes on to the same bytes.

| file | content |
|---|---|
| ``log.csv`` | one :class:`~bomrl_theory.meta.train.Record` a line |
| ``checkpoint.npz`` | the complete state: logits, the rule's memory, generator, configuration, the tasks' hash |
| ``iterates.f64`` | with certified steps: the logits [S, A] of every step taken, little-endian doubles |
| ``meta_policy.npy`` | once the run has ended: the meta-policy [S, A], as ``bomrl evaluate --meta-policy`` reads it |

A checkpoint replaces the one before as a whole, and says how long the other files were and what they held then; what
was appended later is cut off when the run is taken up again, and made again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidFile
from bomrl_theory.meta.train import COLUMNS, Record, State, Trainer, Training
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import check_directory, read_npz, replacing

FORMAT = "bomrl-train-1"
LOG, CHECKPOINT, ITERATES, POLICY = "log.csv", "checkpoint.npz", "iterates.f64", "meta_policy.npy"
EVERY = 10
"""Iterations between checkpoints."""
MEMORY = "memory."
"""Before the names of the rule's arrays."""


def family_hash(family: TaskFamily) -> str:
    """SHA-256 of everything that decides the family's tasks."""
    digest = hashlib.sha256(f"{family.P.shape} {family.gamma}".encode())
    for array in (family.P, family.r, family.rho, family.weights):
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()


class RunDirectory:
    """A run in its directory.

    Args:
        path: of the directory.
        trainer: what is run.
        seed: of the generator that the run draws from.
        start: logits to start from, as for :meth:`Trainer.begin`.
        resume: take up what the directory holds; otherwise it must not exist or be empty.

    Raises:
        InvalidFile: the directory is not empty, or what it holds is damaged or belongs to another run; the message
            says what differs.
        InvalidTask: as :meth:`Trainer.begin`.
    """

    def __init__(
        self,
        path: Path,
        trainer: Trainer,
        *,
        seed: int = 0,
        start: Float64[Array, "S A"] | None = None,
        resume: bool = False,
    ):
        self.path, self.trainer = path, trainer
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        begin = trainer.begin(self.rng, start)
        self.settings: dict[str, Any] = {
            **trainer.config.as_json(),
            "seed": seed,
            "family": family_hash(trainer.solved.family),
            "start": hashlib.sha256(begin.theta.astype("<f8").tobytes()).hexdigest(),
        }
        held = _held(path)
        if held and not resume:
            raise InvalidFile(f"{path} is not empty; go on with --resume if it is this run, or name another directory")
        check_directory(path)
        for leftover in path.glob(f".{CHECKPOINT}.*"):  # of a write that a kill interrupted
            leftover.unlink(missing_ok=True)
        if CHECKPOINT in held:
            self.state = self._load()
        elif held and not self._barely_begun(held):
            raise InvalidFile(f"{path} holds no {CHECKPOINT} to resume from; name another directory")
        else:
            path.mkdir(parents=True, exist_ok=True)
            self.state = begin
            self._log, self._iterates = _Appended(path / LOG), _Appended(path / ITERATES)
            self._log.append(_csv_line(COLUMNS))
            self._save(self._mark(begin))

    def _barely_begun(self, held: set[str]) -> bool:
        """Whether the directory is one of ours that was killed before its first checkpoint."""
        content = [(self.path / name).read_bytes() if name in held else b"" for name in (LOG, ITERATES)]
        return held <= {LOG, ITERATES} and content[0] in (b"", _csv_line(COLUMNS)) and not content[1]

    def run(self, on_record: Callable[[Record], None] = lambda record: None) -> Training:
        """Go on to the end; an exception such as a keyboard interrupt leaves a state to take up again.

        Returns:
            The training with its whole log, also of earlier parts.
        """
        mark = self._mark(self.state)
        try:
            for done, (record, following) in enumerate(self.trainer.run(self.state, self.rng)):
                if self.trainer.certified and record.status.startswith("stepped"):
                    self._iterates.append(mark.state.theta.astype("<f8").tobytes())
                self._log.append(_csv_line(_told(record)))
                mark = self._mark(following)
                on_record(record)
                if (done + 1) % EVERY == 0:
                    self._save(mark)
        finally:
            self._save(mark)
            self.state = mark.state
        training = Training(self.state.theta, self.log(), self.state.status, self.trainer.config)
        with replacing(self.path / POLICY) as temporary, temporary.open("wb") as file:
            np.save(file, training.policy)
        return training

    def log(self) -> list[Record]:
        """What was recorded so far."""
        with (self.path / LOG).open(newline="", encoding="utf-8") as file:
            return [_record(row) for row in csv.DictReader(file)]

    def iterates(self) -> Float64[Array, "n S A"]:
        """The logits of every certified step."""
        flat = np.frombuffer((self.path / ITERATES).read_bytes(), dtype="<f8")
        return flat.reshape(-1, *self.state.theta.shape).astype(np.float64)

    def _mark(self, state: State) -> _Mark:
        return _Mark(state, self.rng.bit_generator.state, {LOG: self._log.mark, ITERATES: self._iterates.mark})

    def _save(self, mark: _Mark) -> None:
        """Replace the checkpoint, after what it speaks of is on disk."""
        self._log.sync()
        self._iterates.sync()
        state = mark.state
        header = {
            "format": FORMAT,
            "settings": self.settings,
            "iteration": state.iteration,
            "status": state.status,
            "generator": mark.generator,
            "files": mark.files,
        }
        arrays: dict[str, Any] = {f"{MEMORY}{name}": array for name, array in state.memory.items()}
        with replacing(self.path / CHECKPOINT) as temporary, temporary.open("wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), theta=state.theta, **arrays)
            file.flush()
            os.fsync(file.fileno())

    def _load(self) -> State:
        """The state of the checkpoint, with the generator and the other files as they were then.

        Raises:
            InvalidFile: it is damaged, no checkpoint at all, or of another run.
        """
        path = self.path / CHECKPOINT
        content = read_npz(path)
        try:
            header = json.loads(str(content["header"]))
            if header["format"] != FORMAT:
                raise KeyError(header["format"])
            self._same_run(path, header["settings"])
            files = {name: [int(header["files"][name][0]), str(header["files"][name][1])] for name in (LOG, ITERATES)}
            iteration, status, theta = int(header["iteration"]), str(header["status"]), content["theta"]
            expected = self.trainer.rule.start(theta.shape)
            memory = {name: content[f"{MEMORY}{name}"] for name in expected}
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise InvalidFile(f"{path} is no checkpoint of bomrl train ({error}); name another directory") from None
        family = self.trainer.solved.family
        shapes = {name: array.shape for name, array in expected.items()}
        if (
            theta.shape != (family.states, family.actions)
            or theta.dtype != np.float64
            or {name: array.shape for name, array in memory.items()} != shapes
        ):
            raise InvalidFile(f"{path} holds arrays of the wrong shape; it is damaged, name another directory")
        try:
            self.rng.bit_generator.state = header["generator"]
        except (KeyError, ValueError, TypeError, OverflowError):
            raise InvalidFile(f"{path} holds no valid generator state; it is damaged, name another directory") from None
        self._log, self._iterates = (_Appended(self.path / name, files[name]) for name in (LOG, ITERATES))
        return State(iteration, theta, memory, status)

    def _same_run(self, path: Path, settings: dict[str, Any]) -> None:
        different = [name for name, value in self.settings.items() if settings.get(name, ...) != value]
        if different:
            told = ", ".join(
                f"another {name}"
                if name in ("family", "start")
                else f"{name} {settings.get(name)} instead of {self.settings[name]}"
                for name in different
            )
            raise InvalidFile(f"{path} belongs to another run ({told}); repeat its settings, or name another directory")


@dataclass(frozen=True, eq=False)
class _Mark:
    """A point to resume from: a state with the generator and the growing files as they were then."""

    state: State
    generator: Any
    files: dict[str, list[Any]]


class _Appended:
    """A file that only grows, known up to a mark: its length and the SHA-256 of what it holds.

    Args:
        path: of the file.
        known: the mark up to which it is kept; None for a new file.

    Raises:
        InvalidFile: the file is shorter than the mark says, was changed before it, or cannot be written.
    """

    def __init__(self, path: Path, known: list[Any] | None = None):
        self.path = path
        with self._named_errors():
            content = b"" if known is None else path.read_bytes()[: int(known[0])]
            self._digest, self._size = hashlib.sha256(content), len(content)
            if known is not None and self.mark != known:
                raise InvalidFile(f"{path} is not what the checkpoint says, it was changed; name another directory")
            with path.open("ab") as file:
                file.truncate(self._size)

    @property
    def mark(self) -> list[Any]:
        return [self._size, self._digest.hexdigest()]

    def append(self, content: bytes) -> None:
        with self._named_errors(), self.path.open("ab") as file:
            file.write(content)
        self._digest.update(content)
        self._size += len(content)

    def sync(self) -> None:
        """Wait until the disk has it."""
        with self._named_errors(), self.path.open("ab") as file:
            os.fsync(file.fileno())

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InvalidFile(f"cannot use {self.path}: {error.strerror}; name another directory") from None


def _held(path: Path) -> set[str]:
    """Names in the directory, but for temporary files of an interrupted write.

    Raises:
        InvalidFile: it is no directory, or cannot be read.
    """
    if not path.exists():
        return set()
    try:
        return {entry.name for entry in path.iterdir() if not entry.name.startswith(f".{CHECKPOINT}.")}
    except OSError as error:
        raise InvalidFile(f"cannot use {path} as a directory: {error.strerror}; name another one") from None


def _told(record: Record) -> tuple[str, ...]:
    """A record's values as text: shortest digits that give the double back, empty for None."""
    values = (getattr(record, name) for name in COLUMNS)
    return tuple("" if value is None else repr(value) if isinstance(value, float) else str(value) for value in values)


def _csv_line(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _record(row: dict[str, str]) -> Record:
    """The inverse of :func:`_told`."""
    kinds: dict[str, Any] = {"iteration": int, "status": str}
    cells = {
        field.name: None if row[field.name] == "" else kinds.get(field.name, float)(row[field.name])
        for field in fields(Record)
    }
    return Record(**cells)  # pyright: ignore[reportArgumentType]
