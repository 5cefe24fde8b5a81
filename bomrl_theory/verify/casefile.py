"""Cases on disk: a counterexample saved today is replayed by anyone tomorrow, to the same numbers.

JSON with ``schema``, ``theorem``, ``family`` (see :mod:`bomrl_theory.tasks.files`), ``meta_policy``
(weights [S, A]), ``algorithm``, ``lambda`` (exact, as text), ``steps``, ``origin``; ``exact`` (the same numbers as
fractions, for people) and ``verdict`` only inform: a replay decides anew. With ``setting`` "linear-quadratic" the
family follows :mod:`bomrl_theory.linear_quadratic.files`, ``meta_policy`` has ``K`` and ``Sigma``, and so has
``adapted``, if the case holds what adaptation on an estimate came to.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from bomrl_theory.errors import BomrlError, InvalidFile, InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.exact.sparse_solved import solved_family
from bomrl_theory.linear_quadratic import files as quadratic
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily
from bomrl_theory.tasks.files import check_directory, from_mapping, listed, read_json, replacing, to_mapping
from bomrl_theory.tasks.sparse_family import SparseFamily
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.verify.readable import exact_lines, exact_mapping
from bomrl_theory.verify.verdict import Verdict

SCHEMA = "bomrl-case-1"
KEYS = ("schema", "theorem", "family", "meta_policy", "algorithm", "lambda", "steps")
LARGEST_STEPS = 10_000
LARGEST_SPARSE = 1_000_000
"""Stored transitions of a sparse family that a case file may hold: some 30 MB of text."""


def fits_file(case: AnyCase) -> bool:
    """Whether a case is small enough for a file; a larger sparse family has its own, or a name and a seed."""
    return not isinstance(case.family, SparseFamily) or case.family.transitions <= LARGEST_SPARSE


def case_mapping(case: AnyCase, verdict: Verdict) -> dict[str, Any]:
    """Everything needed to replay the verdict."""
    return {
        "schema": SCHEMA,
        "theorem": verdict.theorem,
        **setting_mapping(case),
        "family": family_mapping(case),
        **adaptation_mapping(case),
        "origin": case.origin,
        "exact": exact_mapping(case) if isinstance(case, Case) and len(exact_lines(case)) > 1 else None,
        "verdict": {
            "outcome": verdict.outcome,
            "task": verdict.task,
            "left": verdict.exact[0],
            "bound": verdict.exact[1],
            "numbers": verdict.numbers,
        },
    }


def setting_mapping(case: AnyCase) -> dict[str, str]:
    """The setting, named where it is not that of finite MDPs."""
    return {} if case.setting == Case.setting else {"setting": case.setting}


def family_mapping(case: AnyCase) -> dict[str, Any]:
    """The tasks of a case of any setting."""
    if isinstance(case, LinearQuadraticCase):
        return quadratic.to_mapping(case.family)
    assert isinstance(case, Case)
    return {key: listed(value) for key, value in to_mapping(case.family).items()}


def adaptation_mapping(case: AnyCase) -> dict[str, Any]:
    """What a case of any setting adds to its tasks: policies, algorithm, lambda, steps."""
    if isinstance(case, LinearQuadraticCase):
        policies = {"meta_policy": quadratic.policy_mapping(case.phi)}
        if case.adapted is not None:
            policies["adapted"] = quadratic.policy_mapping(case.adapted)
    else:
        assert isinstance(case, Case)
        policies = {"meta_policy": case.phi.tolist()}
    return {**policies, "algorithm": case.algorithm.name, "lambda": str(case.lam), "steps": case.steps}


def case_from_mapping(mapping: dict[str, Any], *, name: str) -> AnyCase:
    """The case that :func:`case_mapping` has written; what only informs may be missing.

    Raises:
        BomrlError: its content breaks the schema.
    """
    tasks = tasks_from_mapping(mapping["family"], mapping.get("setting", Case.setting), name=name)
    return case_on(tasks, mapping, origin=str(mapping.get("origin", name)))


def tasks_from_mapping(mapping: Any, setting: Any, *, name: str) -> Solved | LinearQuadraticFamily:
    """What cases on one family share, of either setting.

    Raises:
        BomrlError: the content breaks the schema of the setting, or there is no such setting.
    """
    if not isinstance(mapping, dict):
        raise InvalidTask("key 'family' does not hold an object")
    if setting == LinearQuadraticCase.setting:
        return quadratic.from_mapping(mapping, name=name)
    if setting != Case.setting:
        raise InvalidTask(f"setting is {setting!r}; it must be {Case.setting!r} or {LinearQuadraticCase.setting!r}")
    return solved_family(from_mapping(mapping, name=name))


def case_on(tasks: Solved | LinearQuadraticFamily, mapping: dict[str, Any], *, origin: str) -> AnyCase:
    """A case on these tasks, with what :func:`adaptation_mapping` has written.

    Raises:
        BomrlError: the content breaks the schema.
    """
    steps = mapping["steps"]
    if not isinstance(steps, int) or not 0 <= steps <= LARGEST_STEPS:
        raise InvalidTask(f"steps = {steps!r} is not a whole number from 0 to {LARGEST_STEPS}")
    if isinstance(tasks, LinearQuadraticFamily):
        adapted = mapping.get("adapted")
        return LinearQuadraticCase.new(
            tasks,
            quadratic.policy_from_mapping(mapping["meta_policy"]),
            mapping["lambda"],
            steps=steps,
            adapted=None if adapted is None else quadratic.policy_from_mapping(adapted),
            origin=origin,
        )
    algorithm = str(mapping["algorithm"])
    return Case.new(tasks, mapping["meta_policy"], algorithm, mapping["lambda"], steps=steps, origin=origin)


def save_case(case: AnyCase, verdict: Verdict, directory: Path) -> Path:
    """Write the case under a name made from what is judged, so nothing is ever overwritten by another.

    Raises:
        InvalidFile: the directory cannot be written.
    """
    check_directory(directory)
    directory.mkdir(parents=True, exist_ok=True)
    judged = case_mapping(case, verdict) | {"verdict": [verdict.outcome, verdict.task]}  # not the sides' last digits
    digest = hashlib.sha256(json.dumps(judged).encode()).hexdigest()[:8]
    path = directory / f"{verdict.theorem}-{digest}.json"
    write_case(case, verdict, path)
    return path


def write_case(case: AnyCase, verdict: Verdict, path: Path) -> None:
    """Write the case to ``path``, whole or not at all.

    Raises:
        InvalidFile: the place cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(case_text(case, verdict), encoding="utf-8")


def case_text(case: AnyCase, verdict: Verdict) -> str:
    """A case file's content."""
    return json.dumps(case_mapping(case, verdict), indent=1) + "\n"


def load_case(path: Path) -> tuple[str, Any]:
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
        case = case_from_mapping(mapping, name=path.stem)
    except BomrlError as error:
        raise InvalidFile(f"{path}: {error}") from None
    return str(mapping["theorem"]), case
