"""Is a theorem as it should be? For tests: one answer, with everything that a person needs to act on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bomrl_theory.errors import BomrlError, InvalidTask
from bomrl_theory.regress.baseline import Baseline
from bomrl_theory.regress.compare import Kind, compare, counterexample_of, some
from bomrl_theory.regress.corpus import Corpus, pinned_corpus
from bomrl_theory.regress.judged import judged
from bomrl_theory.regress.text import counterexample_lines, lines_of, replay_command
from bomrl_theory.report.notation import claim_latex
from bomrl_theory.report.plain_text import plain_text
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.casefile import save_case
from bomrl_theory.verify.quadratic_cases import quadratic_cases
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.run import Plan, TheoremResult, verify
from bomrl_theory.verify.verdict import Outcome


@dataclass(frozen=True)
class Examination:
    """What was found about one theorem.

    Attributes:
        result: every verdict.
        failure: why a test should fail, line by line; empty where all is as it should be.
    """

    result: TheoremResult
    failure: tuple[str, ...]


def examined(
    theorem: Theorem | str | Path,
    *,
    cases: int = 0,
    families: Sequence[str] = (),
    seed: int = 0,
    baseline: Path | None = None,
    counterexamples: Path = Path("counterexamples"),
    corpus: Corpus | None = None,
) -> Examination:
    """Judge a theorem on its own cases, on the pinned corpus, and on what is drawn besides.

    Args:
        theorem: itself, its id, or the file that defines it.
        cases: random families to draw; with ``families``, random meta-policies for each.
        families: names or files, each under two fixed meta-policies and every lambda of ``bomrl verify``.
        seed: of what is drawn.
        baseline: directory to compare with; None compares with nothing.
        counterexamples: where the smallest counterexample is saved.
        corpus: another one than the package's.

    Raises:
        BomrlError: the theorem, a family or the baseline cannot be used.
    """
    file = None if isinstance(theorem, Theorem) or not str(theorem).endswith(".py") else str(theorem)
    chosen = theorem if isinstance(theorem, Theorem) else theorem_named(str(theorem))
    if cases < 0:
        raise InvalidTask(f"cases={cases} is negative; give 0 for none, or how many to draw")
    plan = Plan.of([chosen], families, cases or None, seed)
    former = None if baseline is None else _baseline(chosen, baseline)
    now = judged([chosen], corpus or pinned_corpus(), {} if former is None else {former.name: former.own})[0]
    result = now.result
    if families or cases:
        stream = np.random.SeedSequence(seed)
        if families:
            drawn = plan.generate()
        elif chosen.setting == "linear-quadratic":
            drawn = quadratic_cases(stream, cases)
        else:
            drawn = random_cases(stream, cases, plan.draws)
        result.records += verify([chosen], drawn).results[0].records
    lines = [*_failure(result)]
    if lines and chosen.status != "refuted" and (record := counterexample_of(result)) is not None:
        lines += [f"  {line}" for line in counterexample_lines(*record)]
        registered = registry().get(chosen.id) is chosen
        try:
            saved = save_case(*record, counterexamples)
            lines.append("  " + replay_command(saved, file or (None if registered else "FILE.py")))
        except BomrlError as error:
            lines.append(f"  not saved for a replay: {error}")
    if former is not None:
        changes = compare(former, now, shrink=False)
        told = (Kind.VIOLATED, Kind.NOT_VIOLATED, Kind.UNDECIDED, Kind.VACUOUS)
        drift = tuple(change for change in changes.changes if change.kind not in told)
        if drift:
            lines += [f"differs from the baseline in {baseline}:", *lines_of(replace(changes, changes=drift))]
    return Examination(result, tuple(lines))


def _baseline(theorem: Theorem, directory: Path) -> Baseline:
    path = directory / f"{theorem.name}.json"
    if not path.is_file():
        raise InvalidTask(f"no baseline of '{theorem.name}' in {directory}; make it with bomrl regress --update")
    return Baseline.read(path)


def _failure(result: TheoremResult) -> list[str]:
    """What is wrong, the worst first; nothing where all is as expected."""
    theorem, counts = result.theorem, result.counts
    claim = f"  it claims {plain_text(claim_latex(theorem))}"
    refuted = theorem.status == "refuted"
    if not result.in_scope:
        assumptions = sorted({verdict.reason for verdict in result.verdicts if verdict.reason})
        why = f": {some(assumptions)}" if assumptions else ""
        text = f"{theorem.id} was not tested: none of {len(result.records)} verdicts is in its scope{why}"
        return [text, claim, "  give it cases in scope: its witness, families=[...] or cases=N"]
    if counts[Outcome.VIOLATED] and not refuted:
        relation = ">" if theorem.relation == "<=" else "!="
        share = f"{counts[Outcome.VIOLATED]} of {result.in_scope} verdicts in scope"
        return [f"{theorem.id} is VIOLATED: left {relation} bound on {share}", claim]
    if refuted and not counts[Outcome.VIOLATED]:
        return [f"{theorem.id} is registered as refuted, and none of {result.in_scope} verdicts violates it", claim]
    if counts[Outcome.UNDECIDED]:
        case, verdict = next(record for record in result.records if record[1].outcome is Outcome.UNDECIDED)
        text = f"{theorem.id} is UNDECIDED on {counts[Outcome.UNDECIDED]} of {result.in_scope} verdicts in scope"
        where = "" if verdict.task is None else f", task {verdict.task}"
        return [text, claim, f"  for example on {case.describe()}{where}: {verdict.reason}"]
    return []
