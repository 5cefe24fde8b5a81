"""A training run on exact expectations on disk; see :mod:`bomrl_theory.meta.resumable`.

| file | content |
|---|---|
| ``log.csv`` | one :class:`~bomrl_theory.meta.train.Record` a line |
| ``checkpoint.npz`` | the complete state: logits, the rule's memory, generator, configuration, the tasks' hash |
| ``iterates.f64`` | with certified steps: the logits [S, A] of every step taken, little-endian doubles |
| ``meta_policy.npy`` | once the run has ended: the meta-policy [S, A], as ``bomrl evaluate --meta-policy`` reads it |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.meta.resumable import CHECKPOINT as CHECKPOINT
from bomrl_theory.meta.resumable import LOG as LOG
from bomrl_theory.meta.resumable import ResumableRun
from bomrl_theory.meta.train import Record, State, Trainer, Training
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.files import replacing

ITERATES, POLICY = "iterates.f64", "meta_policy.npy"
MEMORY = "memory."
"""Before the names of the rule's arrays."""


class RunDirectory(ResumableRun[State, Record]):
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

    format = "bomrl-train-1"
    record = Record
    others = (ITERATES,)
    hashed = ("family", "start")

    def __init__(
        self,
        path: Path,
        trainer: Trainer,
        *,
        seed: int = 0,
        start: Float64[Array, "S A"] | None = None,
        resume: bool = False,
    ):
        self.trainer = trainer
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        begin = trainer.begin(rng, start)
        settings: dict[str, Any] = {
            **trainer.config.as_json(),
            "seed": seed,
            "family": trainer.solved.family.sha256,
            "start": hashlib.sha256(begin.theta.astype("<f8").tobytes()).hexdigest(),
        }
        super().__init__(path, begin, rng, settings, resume=resume)

    def arrays(self, state: State) -> dict[str, Array]:
        return {"theta": state.theta} | {f"{MEMORY}{name}": array for name, array in state.memory.items()}

    def restored(self, iteration: int, status: str, arrays: dict[str, Array]) -> State:
        theta = arrays.pop("theta")
        return State(iteration, theta, {name.removeprefix(MEMORY): array for name, array in arrays.items()}, status)

    def iterations(self, state: State) -> Iterator[tuple[Record, State]]:
        return self.trainer.run(state, self.rng)

    def also(self, record: Record, before: State) -> dict[str, bytes]:
        if self.trainer.certified and record.status.startswith("stepped"):
            return {ITERATES: before.theta.astype("<f8").tobytes()}
        return {}

    def run(self, on_record: Callable[[Record], None] = lambda record: None) -> Training:
        """Go on to the end; an exception such as a keyboard interrupt leaves a state to take up again.

        Returns:
            The training with its whole log, also of earlier parts.
        """
        state = self.go_on(on_record)
        training = Training(state.theta, self.log(), state.status, self.trainer.config)
        with replacing(self.path / POLICY) as temporary, temporary.open("wb") as file:
            np.save(file, training.policy)
        return training

    def iterates(self) -> Float64[Array, "n S A"]:
        """The logits of every certified step."""
        flat = np.frombuffer((self.path / ITERATES).read_bytes(), dtype="<f8")
        return flat.reshape(-1, *self.state.theta.shape).astype(np.float64)
