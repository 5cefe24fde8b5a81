"""A long run in parts: what is finished survives a kill at any moment, and a rerun makes only the rest."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from bomrl_theory.errors import InvalidFile, LostWorker


def run_parts(
    file: Path,
    run: dict[str, Any],
    parts: Sequence[str],
    work: Callable[[str], Any],
    *,
    workers: int = 1,
    description: str = "working",
) -> list[Any]:
    """What ``work`` makes of each part, in the order of the parts, however many processes work.

    Args:
        file: keeps finished parts, a line each; it stays until the caller has written the result.
        run: what the parts depend on, as JSON; a file of another run is refused.
        parts: distinct names.
        work: from a part's name to a JSON value; it must be picklable, and all its randomness must come from the name.
        workers: processes.
        description: beside the progress bar, on standard error.

    Raises:
        InvalidFile: the file belongs to another run, or cannot be written.
        LostWorker: a process ended by itself; what was finished is kept.
    """
    finished = Finished(file, run)
    missing = [part for part in parts if part not in finished.done]
    with ProcessPoolExecutor(workers, initializer=end_with_parent) as pool:
        jobs = {pool.submit(work, part): part for part in missing}
        for job in track(as_completed(jobs), description, total=len(jobs), console=Console(stderr=True)):
            try:
                finished.add(jobs[job], job.result())
            except BrokenProcessPool as error:
                raise LostWorker from error
    return [finished.done[part] for part in parts]


class Finished:
    """Finished parts in a file.

    Args:
        path: of the file; made, or taken up if the same run was interrupted.
        run: what the parts depend on.

    Raises:
        InvalidFile: the file belongs to another run, or cannot be written.
    """

    def __init__(self, path: Path, run: dict[str, Any]):
        self.path = path
        self.done: dict[str, Any] = {}
        whole = 0
        if path.exists():
            # A line cut by the kill counts as not written.
            lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
            whole = sum(map(len, lines))
            try:
                entries = [json.loads(line) for line in lines]
                self.done = {entry["part"]: entry["result"] for entry in entries[1:]}
            except (ValueError, KeyError, TypeError):
                raise InvalidFile(f"{path} is not a file of finished parts; move it away") from None
            if entries and entries[0] != json.loads(json.dumps(run)):
                raise InvalidFile(f"{path} holds parts of another run or version; finish that one, or move it away")
            os.truncate(path, whole)
        if not whole:
            self._append(run)

    def add(self, part: str, result: Any) -> None:
        """Keep a finished part."""
        self._append({"part": part, "result": result})
        self.done[part] = json.loads(json.dumps(result))

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            with self.path.open("ab") as file:
                file.write((json.dumps(entry) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InvalidFile(f"cannot write {self.path}: {error.strerror}; choose a writable place") from None


def end_with_parent() -> None:
    """In a worker process: a killed run must leave no worker behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
