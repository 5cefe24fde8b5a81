"""A regression run: which theorems, against which baselines, and what is accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bomrl_theory.errors import InvalidFile, InvalidTheorem, UnknownName
from bomrl_theory.regress.baseline import Baseline, read_baselines
from bomrl_theory.regress.compare import Comparison, compare, gone
from bomrl_theory.regress.corpus import Corpus
from bomrl_theory.regress.judged import Judged, judged
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.run import ExitCode
from bomrl_theory.verify.work import Workers


@dataclass(frozen=True)
class Chosen:
    """Theorems and baselines that are to be compared.

    Attributes:
        names: for each theorem its id in the registry, or its file.
        baselines: by theorem name.
    """

    theorems: tuple[Theorem, ...]
    names: tuple[str, ...]
    baselines: dict[str, Baseline]

    def file_of(self, id: str) -> str | None:
        """The file of a theorem that is not registered."""
        found = next(name for name, theorem in zip(self.names, self.theorems, strict=True) if theorem.id == id)
        return found if found.endswith(".py") else None


def chosen_theorems(files: Sequence[str], only: Sequence[str], directory: Path, *, update: bool) -> Chosen:
    """The theorems of the files, or without files of the registry, less what ``only`` leaves out.

    Raises:
        InvalidFile: there is no baseline and none is to be made, or one of its files is damaged.
        InvalidTheorem: two files define theorems of one name.
        UnknownName: ``only`` names neither a theorem nor a baseline.
    """
    names = list(files) or list(registry())
    theorems = [theorem_named(name) for name in names]
    baselines = read_baselines(directory)
    if not baselines and not update:
        raise InvalidFile(f"no baseline in {directory}; name another with --baseline, or make one with --update")
    places: dict[str, str] = {}
    for theorem, name in zip(theorems, names, strict=True):
        if theorem.name in places:
            raise InvalidTheorem(f"{name} and {places[theorem.name]} both define '{theorem.name}'; rename one")
        places[theorem.name] = name
    if only:
        known = {theorem.name: theorem.name for theorem in theorems} | {
            theorem.id: theorem.name for theorem in theorems
        }
        known |= {b.id: name for name, b in baselines.items()} | {name: name for name in baselines}
        for name in only:
            if name not in known:
                raise UnknownName("theorem", name, known)
        wanted = {known[name] for name in only}
        kept = [(t, name) for t, name in zip(theorems, names, strict=True) if t.name in wanted]
        theorems, names = [theorem for theorem, _ in kept], [name for _, name in kept]
        baselines = {name: baseline for name, baseline in baselines.items() if name in wanted}
    return Chosen(tuple(theorems), tuple(names), baselines)


@dataclass(frozen=True)
class Regression:
    """What was found: comparisons in the order of the theorems, then of the baselines whose theorem is gone."""

    comparisons: tuple[Comparison, ...]
    judged: tuple[Judged, ...]

    @property
    def exit_code(self) -> ExitCode:
        codes = {comparison.exit_code for comparison in self.comparisons}
        for code in (ExitCode.VIOLATED, ExitCode.UNDECIDED):
            if code in codes:
                return code
        return ExitCode.EXPECTED


def regression(
    chosen: Chosen,
    corpus: Corpus,
    *,
    workers: Workers | None = None,
    on_case: Callable[[str], None] = lambda name: None,
) -> Regression:
    """Judge the theorems and compare them with their baselines."""
    kept = {name: baseline.own for name, baseline in chosen.baselines.items()}
    now = judged(chosen.theorems, corpus, kept, workers=workers, on_case=on_case)
    today = {result.theorem.name for result in now}
    found = [compare(chosen.baselines.get(result.theorem.name), result) for result in now]
    found += [gone(baseline) for name, baseline in sorted(chosen.baselines.items()) if name not in today]
    return Regression(tuple(found), tuple(now))


@dataclass(frozen=True)
class Accepted:
    """Ids of baselines that were written or removed, and of those that were not."""

    updated: list[str]
    refused: list[str]

    def told(self, directory: Path) -> str:
        """One or two sentences."""
        text = f"updated {len(self.updated)} in {directory}; review the difference and commit it"
        return text + (f"; not updated: {', '.join(self.refused)}" if self.refused else "")


def accept(found: Regression, directory: Path) -> Accepted:
    """Make today's theorems the baseline where they differ from it; each file is replaced whole.

    A claim that changed under its id stays as it was in the baseline.

    Raises:
        InvalidFile: the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidFile(f"cannot make {directory}: {error.strerror}; name another with --baseline") from None
    today = {result.theorem.id: result for result in found.judged}
    accepted = Accepted([], [])
    for comparison in found.comparisons:
        if not comparison.changes:
            continue
        if not comparison.acceptable:
            accepted.refused.append(comparison.id)
            continue
        if comparison.id in today:
            Baseline.of(today[comparison.id]).write(directory)
        else:
            (directory / f"{comparison.id.rpartition('-v')[0]}.json").unlink(missing_ok=True)
        accepted.updated.append(comparison.id)
    return accepted
