"""The decided cases of a run in a file, so that a run that ended early goes on where it was.

JSON Lines: first what the run depends on, then a line for each decided case, in the order in which they were decided.

| key | content |
|---|---|
| ``case`` | its number in the run, witnesses first |
| ``sha256`` | of the tasks, the meta-policy and the adaptation, 16 digits: what is recalled was decided of this case |
| ``found`` | base64 of zlib of JSON: each judged theorem's place, seconds and verdicts (:mod:`.stored`) |
| ``crc32`` | of the line without it |
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from bomrl_theory.errors import InvalidFile
from bomrl_theory.linear_quadratic import files as quadratic
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.verify.fingerprint import Fingerprint
from bomrl_theory.verify.journal import Journal
from bomrl_theory.verify.stored import restored, stored
from bomrl_theory.verify.work import Found, Job

SCHEMA = "bomrl-record-1"
LINE = re.compile(rb'(\{"case":(\d+),"sha256":"([0-9a-f]{16})","found":"([A-Za-z0-9+/=]*)"),"crc32":(\d+)\}\n')
LARGEST = 2**28
"""Bytes that the verdicts on one case may unpack to."""


class Record:
    """What a run has decided, case by case; a context manager that holds the file.

    Args:
        path: of the file.
        run: what the run depends on.
        resume: take up what the file holds, if it is there; otherwise it must not exist.

    Attributes:
        kept: how many cases the file holds.

    Raises:
        InvalidFile: the file exists though nothing is to be resumed; it is no record, damaged, or of another run; or it
            cannot be written. It stays as it was.
    """

    def __init__(self, path: Path, run: Fingerprint, *, resume: bool):
        self.path = path
        self._theorems = run.theorem_ids
        self._hash = _CaseHash()
        self._places: dict[int, tuple[int, int]] = {}
        """Of what the file held: byte and line, by the number of the case."""
        self._added = 0
        self._new = not path.exists()
        self._journal = Journal(path, new=not resume)
        try:
            self._take_up(run)
        except BaseException:
            self._journal.close()
            raise

    @property
    def kept(self) -> int:
        return len(self._places) + self._added

    def recalled(self, work: Iterable[Job]) -> Iterator[Job]:
        """The jobs, each with what was found about its cases already.

        Raises:
            InvalidFile: what is recorded under a case's number is about another case or other theorems.
        """
        for job in work:
            numbers = range(job.first, job.first + len(job.cases))
            known = {n: self._recall(job, n) for n, number in enumerate(numbers) if number in self._places}
            yield replace(job, known=known) if known else job

    def keep(self, job: Job, index: int, found: Found) -> None:
        """Keep what was found about one of a job's cases.

        Raises:
            InvalidFile: the file cannot be written any more.
        """
        told = [
            [place, round(seconds, 6), [stored(verdict) for verdict in verdicts]]
            for place, (verdicts, seconds) in zip(job.places[index], found, strict=True)
        ]
        # The verdicts of one case repeat numbers and names: packed they take a quarter, at a few per cent of the time.
        packed = base64.b64encode(zlib.compress(json.dumps(told, separators=(",", ":")).encode(), 1)).decode()
        number = job.first + index
        line = f'{{"case":{number},"sha256":"{self._hash(job.cases[index])}","found":"{packed}"'.encode()
        self._journal.append(b'%b,"crc32":%d}\n' % (line, zlib.crc32(line)))
        self._added += 1

    def __enter__(self) -> Record:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._journal.close()
        if kind is not None and self._new and not self.kept:  # a run that was refused leaves nothing behind
            self.path.unlink(missing_ok=True)

    # --- reading ---

    def _take_up(self, run: Fingerprint) -> None:
        start = 0
        for number, line in enumerate(self._journal.lines()):
            if number == 0:
                self._check_run(line, run)
            else:
                match = LINE.fullmatch(line)
                if match is None or zlib.crc32(match[1]) != int(match[5]):
                    raise self._damaged(number + 1)
                self._places[int(match[2])] = (start, number + 1)
            start += len(line)
        if not start and not _header(run).startswith(self._journal.tail):
            raise self._foreign()
        self._journal.cut()
        if not start:
            self._journal.append(_header(run))

    def _check_run(self, line: bytes, run: Fingerprint) -> None:
        try:
            header = json.loads(line)
            held = header["run"] if header["schema"] == SCHEMA else None
        except (ValueError, KeyError, TypeError, RecursionError):
            held = None
        if held is None:
            raise self._foreign()
        if told := run.differences(held):
            raise InvalidFile(
                f"{self.path} belongs to another run ({told}); repeat its command with --resume, or name another file"
            )

    def _recall(self, job: Job, index: int) -> Found:
        start, line_number = self._places[job.first + index]
        with self.path.open("rb") as file:
            file.seek(start)
            match = LINE.fullmatch(file.readline())
        if match is None:
            raise self._damaged(line_number)
        if match[3].decode() != self._hash(job.cases[index]):
            raise InvalidFile(
                f"{self.path}, line {line_number}: case {job.first + index} is another one in this run; "
                "name another file to begin anew"
            )
        try:
            unpacked = zlib.decompressobj().decompress(base64.b64decode(match[4], validate=True), LARGEST)
            told = json.loads(unpacked)
            if [place for place, _, _ in told] != job.places[index]:
                raise self._damaged(line_number)
            return [
                ([restored(self._theorems[place], verdict) for verdict in verdicts], float(seconds))
                for place, seconds, verdicts in told
            ]
        except (ValueError, TypeError, zlib.error, binascii.Error, RecursionError):
            raise self._damaged(line_number) from None

    def _damaged(self, line: int) -> InvalidFile:
        return InvalidFile(
            f"{self.path}, line {line} is damaged; keep the lines above it alone and resume, or name another file"
        )

    def _foreign(self) -> InvalidFile:
        return InvalidFile(f"{self.path} is no record of bomrl verify ({SCHEMA}); name another file")


def _header(run: Fingerprint) -> bytes:
    return (json.dumps({"schema": SCHEMA, "run": run.as_json()}, separators=(",", ":")) + "\n").encode()


class _CaseHash:
    """Hashes of cases; a family's is made once for consecutive cases on it."""

    def __init__(self) -> None:
        self._last: tuple[object, str] = (None, "")

    def __call__(self, case: AnyCase) -> str:
        """The first 16 digits of the SHA-256 of everything that decides the verdicts on a case."""
        digest = hashlib.sha256(f"{case.algorithm.name} {case.lam} {case.steps} ".encode())
        if isinstance(case, Case):
            if self._last[0] is not case.shared:
                self._last = case.shared, case.family.sha256
            digest.update(self._last[1].encode())
            digest.update(case.phi.astype("<f8").tobytes())
        elif isinstance(case, LinearQuadraticCase):
            policies: Sequence[Any] = (case.phi,) if case.adapted is None else (case.phi, case.adapted)
            family = quadratic.to_mapping(case.family) | {"name": ""}
            digest.update(json.dumps([family, *map(quadratic.policy_mapping, policies)]).encode())
        return digest.hexdigest()[:16]
