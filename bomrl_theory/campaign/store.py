"""A campaign's folder: a finished chunk is a finished file, so that a kill at any moment loses only unfinished ones.

| file | content |
|---|---|
| ``campaign.json`` | what the campaign does, and the version of the package |
| ``cells.json`` | the cells of the grid, as they are numbered |
| ``cases/cell=C/chunk-N.parquet`` | the verdicts of a chunk |
| ``counterexamples/*.json`` | violated and undecided cases, to replay |
| ``summary.json`` | once it has ended |
| ``.lock`` | held by the run that writes (:mod:`bomrl_theory.tasks.lock`) |
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bomrl_theory.campaign.cells import Cell, Chunk
from bomrl_theory.campaign.chunk import Done, SavedCase, own_version
from bomrl_theory.campaign.spec import Spec
from bomrl_theory.errors import InvalidFile
from bomrl_theory.numbers import device_in_use
from bomrl_theory.tasks.files import check_directory, read_json, replacing
from bomrl_theory.tasks.lock import LOCK, FolderLock

MANIFEST, CELLS, CASES, COUNTEREXAMPLES, SUMMARY = (
    "campaign.json",
    "cells.json",
    "cases",
    "counterexamples",
    "summary.json",
)
SCHEMA = "bomrl-campaign-1"


class Store:
    """The folder of a campaign.

    Args:
        path: of the folder.
        spec: what the campaign does.
        cells: of its grid.
        resume: take up what the folder holds; otherwise it must not exist or be empty.

    Raises:
        InvalidFile: the folder is not empty, belongs to another campaign (the message says what differs), is in use by
            another run, or cannot be written.
    """

    def __init__(self, path: Path, spec: Spec, cells: tuple[Cell, ...], *, resume: bool = False):
        self.path, self.saved = path, spec.saved
        manifest = {"schema": SCHEMA, "version": own_version(), **spec.as_json()}
        if (device := device_in_use()) is not None:  # the last digits of a side depend on it
            manifest["device"] = device.described
        self._begun(manifest, resume)
        check_directory(path)
        path.mkdir(parents=True, exist_ok=True)
        self.lock = FolderLock(path)
        begun = self._begun(manifest, resume)  # again: another run may have ended in between
        for cell in cells:
            self._folder(cell.index).mkdir(parents=True, exist_ok=True)
        self._sweep()
        if not begun:
            self._write(CELLS, [cell.as_json() for cell in cells])
            self._write(MANIFEST, manifest)
        # By theorem: the file of each saved case, in the order of its name.
        self._kept: dict[str, dict[tuple[Any, ...], Path]] = defaultdict(dict)
        for file in (path / COUNTEREXAMPLES).glob("*.json"):
            self._kept[_theorem(file)][_order(file)] = file

    def _begun(self, manifest: dict[str, Any], resume: bool) -> bool:
        """Whether the folder holds this campaign already.

        Raises:
            InvalidFile: it holds something else, or nothing is to be taken up.
        """
        try:
            held = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        except OSError as error:
            raise InvalidFile(f"cannot read {self.path}: {error.strerror}; name another directory") from None
        held = {name for name in held if not name.startswith(".")}
        if held and not resume:
            raise InvalidFile(
                f"{self.path} is not empty; go on with --resume if it is this campaign, or name another directory"
            )
        if held and MANIFEST not in held:
            raise InvalidFile(f"{self.path} holds no {MANIFEST} to resume from; name another directory")
        if held:
            self._check(read_json(self.path / MANIFEST), manifest)
        return bool(held)

    def _check(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        different = next(_differences(found, json.loads(json.dumps(wanted))), None)
        if different is not None:
            raise InvalidFile(
                f"{self.path} belongs to another campaign: {different}; correct the file, or name another directory"
            )

    def _sweep(self) -> None:
        """What a kill left half written."""
        for folder in (self.path, *(self.path / CASES).iterdir(), self.path / COUNTEREXAMPLES):
            for leftover in folder.glob(".*"):
                if leftover.name != LOCK:
                    leftover.unlink(missing_ok=True)

    def _folder(self, cell: int) -> Path:
        return self.path / CASES / f"cell={cell}"

    def file(self, chunk: Chunk) -> Path:
        """Where a chunk's verdicts are kept."""
        return self._folder(chunk.cell.index) / f"chunk-{chunk.index:06}.parquet"

    def is_done(self, chunk: Chunk) -> bool:
        """Whether a chunk is finished."""
        return self.file(chunk).exists()

    def files(self) -> list[Path]:
        """The finished chunks' files, in the order of the grid."""
        found = (self.path / CASES).glob("cell=*/chunk-*.parquet")
        return sorted(found, key=lambda file: (int(file.parent.name.partition("=")[2]), file.name))

    def add(self, done: Done) -> None:
        """Keep what came of a chunk: its cases first, so that a finished chunk has them."""
        for one in done.saved:
            self._save(done.chunk.cell.index, one)
        with replacing(self.file(done.chunk)) as temporary:
            temporary.write_bytes(done.table)

    def _save(self, cell: int, one: SavedCase) -> None:
        """Keep a case if it is among the first of its theorem, whatever the order in which they come."""
        folder = self.path / COUNTEREXAMPLES
        task = "" if one.task is None else f"-{one.task}"
        file = folder / f"{one.theorem}-{str(one.outcome).lower()}-{cell}-{one.case}{task}.json"
        kept, order = self._kept[one.theorem], _order(file)
        if order not in kept and len(kept) == self.saved:
            last = max(kept, default=order)
            if order >= last:
                return
            kept.pop(last).unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(one.text, encoding="utf-8")
        kept[order] = file

    def counterexamples(self, theorem: str) -> list[Path]:
        """The saved cases of a theorem: violated ones first, then in the order of the grid."""
        return [file for _, file in sorted(self._kept[theorem].items())]

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write what the campaign found."""
        self._write(SUMMARY, summary)

    def _write(self, name: str, value: Any) -> None:
        with replacing(self.path / name) as temporary:
            temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _theorem(file: Path) -> str:
    """The id in a saved case's name, ``name-vN-outcome-cell-case[-task].json``."""
    return "-".join(file.stem.split("-")[:2])


def _order(file: Path) -> tuple[Any, ...]:
    outcome, *numbers = file.stem.split("-")[2:]
    return outcome != "violated", *map(int, numbers)


def _differences(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """The first key whose value differs, with both."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in {**wanted, **found}:
            yield from _differences(found.get(key), wanted.get(key), f"{where}.{key}" if where else key)
    elif found != wanted:
        yield f"{where} is {_short(found)} there and {_short(wanted)} here"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
