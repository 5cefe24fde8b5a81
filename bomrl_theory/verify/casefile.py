"""Cases on disk: a counterexample saved today is replayed by anyone tomorrow, to the same numbers.

JSON with ``schema``, ``theorem``, ``family`` (see :mod:`bomrl_theory.tasks.files`), ``meta_policy``
(weights [S, A]), ``algorithm``, ``lambda`` (exact, as text), ``steps``, ``origin``; ``exact`` (the same numbers as
fractions, for people) and ``verdict`` only inform: a replay decides anew.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from bomrl_theory.errors import BomrlError, InvalidFile, InvalidTask
from bomrl_theory.tasks.files import check_directory, from_mapping, listed, read_json, replacing, to_mapping
from bomrl_theory.theory.case import Case
from bomrl_theory.verify.readable import exact_lines, exact_mapping
from bomrl_theory.verify.verdict import Verdict

SCHEMA = "bomrl-case-1"
KEYS = ("schema", "theorem", "family", "meta_policy", "algorithm", "lambda", "steps")


def case_mapping(case: Case, verdict: Verdict) -> dict[str, Any]:
    """Everything needed to replay the verdict."""
    return {
        "schema": SCHEMA,
        "theorem": verdict.theorem,
        "family": {key: listed(value) for key, value in to_mapping(case.family).items()},
        "meta_policy": case.phi.tolist(),
        "algorithm": case.algorithm.name,
        "lambda": str(case.lam),
        "steps": case.steps,
        "origin": case.origin,
        "exact": exact_mapping(case) if len(exact_lines(case)) > 1 else None,
        "verdict": {
            "outcome": verdict.outcome,
            "task": verdict.task,
            "left": verdict.exact[0],
            "bound": verdict.exact[1],
            "numbers": verdict.numbers,
        },
    }


def save_case(case: Case, verdict: Verdict, directory: Path) -> Path:
    """Write the case under a name made from its content, so nothing is ever overwritten by another.

    Raises:
        InvalidFile: the directory cannot be written.
    """
    check_directory(directory)
    directory.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(_text(case, verdict).encode()).hexdigest()[:8]
    path = directory / f"{verdict.theorem}-{digest}.json"
    write_case(case, verdict, path)
    return path


def write_case(case: Case, verdict: Verdict, path: Path) -> None:
    """Write the case to ``path``, whole or not at all.

    Raises:
        InvalidFile: the place cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(_text(case, verdict), encoding="utf-8")


def _text(case: Case, verdict: Verdict) -> str:
    return json.dumps(case_mapping(case, verdict), indent=1) + "\n"


def load_case(path: Path) -> tuple[str, Case]:
    """The theorem's id and the case of a case file.

    Raises:
        InvalidFile: unreadable, truncated, or its content breaks the schema.
    """
    mapping = read_json(path)
    missing = [key for key in KEYS if key not in mapping]
    if missing or mapping["schema"] != SCHEMA:
        what = f"misses {', '.join(missing)}" if missing else f"has schema {mapping['schema']!r}"
        raise InvalidFile(f"{path} is not a case file ({what}); expected one written by bomrl verify ({SCHEMA})")
    try:
        if not isinstance(mapping["family"], dict):
            raise InvalidTask("key 'family' does not hold an object")
        if not isinstance(mapping["steps"], int) or not 0 <= mapping["steps"] <= 10_000:
            raise InvalidTask(f"steps = {mapping['steps']!r} is not a whole number from 0 to 10000")
        case = Case.new(
            from_mapping(mapping["family"], name=path.stem),
            mapping["meta_policy"],
            str(mapping["algorithm"]),
            mapping["lambda"],
            steps=mapping["steps"],
            origin=str(mapping.get("origin", path.stem)),
        )
    except BomrlError as error:
        raise InvalidFile(f"{path}: {error}") from None
    return str(mapping["theorem"]), case
