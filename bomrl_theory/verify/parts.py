"""A long run in parts: what is finished survives a kill at any moment, and a rerun makes only the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from bomrl_theory.errors import InvalidFile, LostWorker
from bomrl_theory.verify.journal import Journal
from bomrl_theory.verify.processes import end_with_parent


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
    with closing(Finished(file, run)) as finished, ProcessPoolExecutor(workers, initializer=end_with_parent) as pool:
        jobs = {pool.submit(work, part): part for part in parts if part not in finished.done}
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
        self.done: dict[str, Any] = {}
        self._journal = Journal(path)
        try:
            self._take_up(run)
        except InvalidFile:
            self._journal.close()
            raise

    def add(self, part: str, result: Any) -> None:
        """Keep a finished part."""
        self._append({"part": part, "result": result})
        self.done[part] = json.loads(json.dumps(result))

    def close(self) -> None:
        """Let others use the file."""
        self._journal.close()

    def _take_up(self, run: dict[str, Any]) -> None:
        path = self._journal.path
        foreign = InvalidFile(f"{path} is not a file of finished parts; move it away")
        try:
            entries = [json.loads(line) for line in self._journal.lines()]
            self.done = {entry["part"]: entry["result"] for entry in entries[1:]}
        except (ValueError, KeyError, TypeError):
            raise foreign from None
        if not entries and not _line(run).startswith(self._journal.tail):
            raise foreign
        if entries and entries[0] != json.loads(json.dumps(run)):
            raise InvalidFile(f"{path} holds parts of another run or version; finish that one, or move it away")
        self._journal.cut()
        if not entries:
            self._append(run)

    def _append(self, entry: dict[str, Any]) -> None:
        self._journal.append(_line(entry))


def _line(entry: dict[str, Any]) -> bytes:
    return (json.dumps(entry) + "\n").encode()
