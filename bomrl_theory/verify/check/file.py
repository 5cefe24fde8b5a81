"""A certificate file from its first line to its last: what is confirmed, what is not, and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from bomrl_theory.errors import InvalidFile
from bomrl_theory.verify.check.records import Case, Claim, Family, TooLarge, Wrong, data_of
from bomrl_theory.verify.check.tree import Malformed
from bomrl_theory.verify.check.verdict import Status, check_verdict

SCHEMA = "bomrl-certificate-1"
KINDS = ("theorem", "family", "case", "verdict")
KEPT = 8
"""Records kept as exact data; others are read again when a verdict refers to them."""

Record = TypeVar("Record")


@dataclass(frozen=True)
class Finding:
    """A line that was not confirmed.

    Attributes:
        line: its number, from 1.
        kind: "disagreement", "unchecked" (and why), "undecided", or "unreadable".
        theorem, task: what it is about, where that could be read.
    """

    line: int
    kind: Literal["disagreement", "unchecked", "undecided", "unreadable"]
    reason: str
    theorem: str | None = None
    task: int | None = None


@dataclass
class CheckResult:
    """What the check of a file found.

    Attributes:
        counts: verdicts by theorem and status.
        findings: everything that was not confirmed, in the file's order.
    """

    counts: dict[str, Counter[Status]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def count(self, status: str) -> int:
        """Verdicts with this status; for "unreadable" lines."""
        if status == "unreadable":
            return sum(finding.kind == status for finding in self.findings)
        return sum(counter[status] for counter in self.counts.values())  # pyright: ignore[reportArgumentType]

    @property
    def exit_code(self) -> int:
        """0: all confirmed. 1: a disagreement. 3: nothing confirmed, or something that could not be checked."""
        if self.count("disagreement"):
            return 1
        return 0 if self.count("confirmed") and not self.findings else 3


def check_file(path: Path, *, on_line: Callable[[str], None] = lambda now: None) -> CheckResult:
    """Check every verdict of a certificate file.

    Args:
        on_line: told after each line what it was about.

    Raises:
        InvalidFile: the file cannot be read.
    """
    checker = _Checker()
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                on_line(checker.take(number, raw))
    except OSError as error:
        raise InvalidFile(f"cannot read {path}: {error.strerror}") from None
    return checker.result


class _Checker:
    """Takes line after line; remembers what later lines may refer to."""

    def __init__(self) -> None:
        self.result = CheckResult()
        self._lines: dict[tuple[str, str], dict[str, Any]] = {}
        self._records: dict[tuple[str, str], Any] = {}

    def take(self, number: int, raw: bytes) -> str:
        """Check one line and say what it is about."""
        try:
            line = _parsed(raw)
            if line["kind"] == "verdict":
                return self._verdict(number, line)
            if not isinstance(line.get("sha256"), str):
                raise Malformed(f"a {line['kind']} line without its hash")
            if "data" not in line:
                raise Malformed(f"a {line['kind']} line without data")
            self._lines[line["kind"], line["sha256"]] = line
            return line["kind"]
        except (Malformed, RecursionError) as error:
            self.result.findings.append(Finding(number, "unreadable", str(error)))
            return "unreadable"

    def _verdict(self, number: int, line: dict[str, Any]) -> str:
        theorem, task = line.get("theorem"), line.get("task")
        if not isinstance(theorem, str):
            raise Malformed("a verdict that names no theorem")
        try:
            status, reason = check_verdict(line, self._claim(line.get("claim")), self._case(line.get("case")))
        except Wrong as error:
            status, reason = "disagreement", str(error)
        except TooLarge as error:
            status, reason = "unchecked", str(error)
        self.result.counts.setdefault(theorem, Counter())[status] += 1
        if status != "confirmed":
            known = task if type(task) is int else None
            self.result.findings.append(Finding(number, status, reason, theorem, known))
        return theorem

    def _claim(self, key: Any) -> Claim:
        return self._record("theorem", key, Claim.read)

    def _family(self, key: Any) -> Family:
        return self._record("family", key, Family.read)

    def _case(self, key: Any) -> Case:
        def read(data: Any) -> Case:
            return Case.read(data, self._family(data.get("family") if isinstance(data, dict) else None), str(key))

        return self._record("case", key, read)

    def _record(self, kind: str, key: Any, read: Callable[[Any], Record]) -> Record:
        """A record that a verdict refers to; among the recently used ones, or read from its line."""
        if not isinstance(key, str) or (kind, key) not in self._lines:
            raise Malformed(f"no {kind} line with the hash {str(key)[:16]!r} precedes it")
        record = self._records.pop((kind, key), None)
        if record is None:
            same_kind = [known for known in self._records if known[0] == kind]
            if len(same_kind) >= KEPT and kind != "theorem":
                del self._records[same_kind[0]]
            record = read(data_of(self._lines[kind, key]))
        self._records[kind, key] = record
        return record


def _parsed(raw: bytes) -> dict[str, Any]:
    """
    Raises:
        Malformed: not a line of this format.
    """
    try:
        line = json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        if not raw.endswith(b"\n"):
            raise Malformed("truncated: the last line ends in the middle, as when a run is killed") from None
        raise Malformed("not JSON") from None
    if not isinstance(line, dict) or line.get("schema") != SCHEMA:
        found = line.get("schema") if isinstance(line, dict) else None
        raise Malformed(f"schema {str(found)[:40]!r}, not {SCHEMA}")
    if line.get("kind") not in KINDS:
        raise Malformed(f"kind {str(line.get('kind'))[:40]!r} is none of {', '.join(KINDS)}")
    return line


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")
