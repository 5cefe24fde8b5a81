"""A baseline: what a theorem claimed and reached when it was last accepted, in one file a theorem.

A baseline file is JSON named after the theorem, without its version, so that the review of a change shows old and
new side by side: wording, claim (:mod:`bomrl_theory.regress.claim`; ``text`` and ``latex`` only inform), the theorem's
own cases as exact data, how tight it is on all cases, and on each case the verdict of every task. Verdicts are
certified; the sides beside them are rounded, because their last digits are not the same on every machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bomrl_theory.errors import InvalidFile
from bomrl_theory.regress.claim import Claim
from bomrl_theory.regress.judged import FORMER, Judged
from bomrl_theory.report.notation import expression_latex
from bomrl_theory.report.plain_text import plain_text
from bomrl_theory.tasks.files import read_json, replacing
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.check.tree import Malformed
from bomrl_theory.verify.ratio import certified_ratio
from bomrl_theory.verify.verdict import Outcome, Verdict

SCHEMA = "bomrl-baseline-1"
LARGEST_FILE = 20_000_000
DIGITS = 6
"""Significant digits of a side."""
NOISE = 1e-9
"""What is smaller is written as 0: it may be rounding of the adaptation."""
TOLERANCE = 1.01 * 10.0 ** (1 - DIGITS)
"""Sides further apart than this share (one unit of the last digit), and than :data:`NOISE`, have moved."""
QUANTILES = {"smallest": 0.0, "quarter": 0.25, "median": 0.5, "three quarters": 0.75, "largest": 1.0}
WORDING = ("title", "status", "source", "statement", "notes")


@dataclass(frozen=True)
class Baseline:
    """What is kept of one theorem.

    Attributes:
        wording: title, status, source, statement and notes.
        text, latex: the bound for people.
        own: the theorem's own cases as data.
        tightness: how many ratios left/bound there are, and their quantiles, rounded down.
        verdicts: by case, for every task ``OUTCOME left bound``, or the outcome alone where out of scope.
    """

    id: str
    wording: dict[str, str]
    claim: Claim
    text: str
    latex: str
    corpus: str
    own: dict[str, Any]
    tightness: dict[str, str]
    verdicts: dict[str, list[str]]

    @property
    def name(self) -> str:
        """The id without its version."""
        return self.id.rpartition("-v")[0]

    @classmethod
    def of(cls, now: Judged) -> Baseline:
        """What there is to keep today."""
        theorem = now.theorem
        latex = expression_latex(theorem.bound)
        return cls(
            theorem.id,
            wording_of(theorem),
            Claim.of(theorem),
            plain_text(latex),
            latex,
            now.corpus,
            now.own,
            tightness_of(now.verdicts),
            {
                name: [row(verdict) for verdict in verdicts]
                for name, (_, verdicts) in now.rows.items()
                if not name.endswith(FORMER)
            },
        )

    def as_text(self) -> str:
        """The file's content: an entry of every table on a line of its own."""
        parts = {
            "schema": SCHEMA,
            "id": self.id,
            **self.wording,
            "text": self.text,
            "latex": self.latex,
            "claim": self.claim.as_json(),
            "corpus": self.corpus,
            "tightness": self.tightness,
            "own_cases": self.own,
            "verdicts": self.verdicts,
        }
        return "{\n" + ",\n".join(f" {_line(key)}: {_block(value)}" for key, value in parts.items()) + "\n}\n"

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read a baseline file; nothing in it is executed.

        Raises:
            InvalidFile: unreadable, truncated, or not a baseline.
        """
        remedy = "restore it from version control, or move it away and run bomrl regress --update"
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise InvalidFile(f"{path} is larger than {LARGEST_FILE} bytes and no baseline; move it away")
            data = read_json(path)
        except OSError as error:
            raise InvalidFile(f"cannot read {path}: {error.strerror}") from None
        except InvalidFile as error:
            raise InvalidFile(f"{error}; {remedy}") from None
        if data.get("schema") != SCHEMA:
            raise InvalidFile(
                f"{path} is no baseline (schema {data.get('schema')!r:.40}, not '{SCHEMA}'); move it away"
            )
        try:
            return cls._from_json(data, path.stem)
        except (Malformed, RecursionError) as error:
            raise InvalidFile(f"{path} is damaged: {error}; {remedy}") from None

    @classmethod
    def _from_json(cls, data: dict[str, Any], stem: str) -> Baseline:
        texts = ("id", *WORDING, "text", "latex", "corpus")
        wrong = [key for key in texts if not isinstance(data.get(key), str)]
        wrong += [key for key in ("own_cases", "tightness", "verdicts") if not isinstance(data.get(key), dict)]
        if wrong:
            raise Malformed(f"{', '.join(wrong)} missing, or of another type")
        name, _, version = data["id"].rpartition("-v")
        if name != stem or not version.isdigit():
            raise Malformed(f"it holds '{data['id'][:60]}', and its file is named {stem}.json")
        for case, verdicts in data["verdicts"].items():
            if not isinstance(verdicts, list) or not all(isinstance(x, str) and _is_row(x) for x in verdicts):
                raise Malformed(f"the verdicts on '{case[:60]}' are not texts like 'HOLDS 0.5 1'")
        if not all(isinstance(x, str) for x in data["tightness"].values()):
            raise Malformed("tightness holds something that is no text")
        return cls(
            data["id"],
            {key: data[key] for key in WORDING},
            Claim.from_json(data.get("claim")),
            data["text"],
            data["latex"],
            data["corpus"],
            data["own_cases"],
            data["tightness"],
            data["verdicts"],
        )

    def write(self, directory: Path) -> Path:
        """Write the file, whole or not at all.

        Raises:
            InvalidFile: the place cannot be written.
        """
        path = directory / f"{self.name}.json"
        with replacing(path) as temporary:
            temporary.write_text(self.as_text(), encoding="utf-8")
        return path


def read_baselines(directory: Path) -> dict[str, Baseline]:
    """Every baseline of a directory by theorem name; empty where there is none.

    Raises:
        InvalidFile: a JSON file in it is not a readable baseline.
    """
    found = (Baseline.read(path) for path in sorted(directory.glob("*.json")))
    return {baseline.name: baseline for baseline in found}


def wording_of(theorem: Theorem) -> dict[str, str]:
    """What people read, and what no verdict depends on."""
    source = f"{theorem.source.work}, {theorem.source.place} ({theorem.source.obtained})"
    texts = (theorem.title, theorem.status, source, theorem.statement, theorem.notes)
    return dict(zip(WORDING, texts, strict=True))


# --- verdicts as text -----------------------------------------------------------------------------


def row(verdict: Verdict) -> str:
    """``HOLDS 0.5 1``: the outcome and both sides, rounded."""
    outcome = str(verdict.outcome) + ("" if verdict.certified else "(float)")
    return outcome if verdict.sides is None else f"{outcome} {rounded(verdict.left)} {rounded(verdict.bound)}"


def rounded(x: float) -> str:
    """Six significant digits, and no more than nine decimals."""
    return "0" if abs(x) < NOISE else f"{round(x, 9):.{DIGITS}g}"


def _is_row(text: str) -> bool:
    outcome, *sides = text.split(" ")
    if outcome.removesuffix("(float)") not in tuple(Outcome) or len(sides) not in (0, 2):
        return False
    try:
        [float(side) for side in sides]
    except ValueError:
        return False
    return True


def parsed(text: str) -> tuple[str, float, float]:
    """Outcome and sides; NaN where a side was not computed."""
    outcome, *sides = text.split(" ")
    left, bound = map(float, sides) if sides else (math.nan, math.nan)
    return outcome, left, bound


def apart(x: float, y: float) -> bool:
    """Whether two rounded sides differ by more than rounding on another machine could explain."""
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or math.isinf(y):
        return not (x == y or (math.isnan(x) and math.isnan(y)))
    return abs(x - y) > TOLERANCE * max(abs(x), abs(y)) + 1.01 * NOISE


def tightness_of(verdicts: list[Verdict]) -> dict[str, str]:
    """The distribution of certified left/bound; sides that are both noise have no ratio."""
    said = [v for v in verdicts if v.sides and max(abs(v.left), abs(v.bound)) >= NOISE]
    ratios = sorted(ratio for v in said if (ratio := certified_ratio(v)) is not None)
    if not ratios:
        return {"verdicts": "0"}
    places = {name: min(int(share * len(ratios)), len(ratios) - 1) for name, share in QUANTILES.items()}
    return {"verdicts": str(len(ratios)), **{name: _down(ratios[place]) for name, place in places.items()}}


def _down(ratio: float) -> str:
    """Six decimals, never rounded up."""
    return f"{math.floor(ratio * 10**6) / 10**6:.6f}" if math.isfinite(ratio) else str(ratio)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _block(value: Any) -> str:
    """A table with an entry a line; the claim's own tables likewise."""
    if not isinstance(value, Mapping) or not value:
        return _line(value)
    inner = (
        f"  {_line(key)}: "
        + (
            "{\n" + ",\n".join(f"   {_line(k)}: {_line(v)}" for k, v in part.items()) + "\n  }"
            if key in ("assumptions", "quantities") and part
            else _line(part)
        )
        for key, part in value.items()
    )
    return "{\n" + ",\n".join(inner) + "\n }"
