"""Writing a report: everything under one directory, or nothing."""

from __future__ import annotations

import importlib.util
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bomrl_theory.errors import InvalidFile, MissingExtra
from bomrl_theory.report.changes import Changes
from bomrl_theory.report.table import Table
from bomrl_theory.theory.theorem import Theorem, by_topic
from bomrl_theory.verify.casefile import save_case
from bomrl_theory.verify.run import Run

if TYPE_CHECKING:  # pandas and Matplotlib are an extra
    from bomrl_theory.report.frozen_lake import Settings, Study
    from bomrl_theory.report.ladder import Ladder

SCHEMA = "bomrl-report-1"
INDEX = "report.json"
VERDICTS = "verdicts.csv.gz"
COMPRESSION: Any = {"method": "gzip", "compresslevel": 5, "mtime": 0}
"""Half a million verdicts are a hundred megabytes of text; without a time stamp the bytes stay the same."""
PACKAGES = ("matplotlib", "pandas", "jinja2")


def check_destination(directory: Path) -> None:
    """Refuse early what :func:`write_report` would refuse after long work.

    Raises:
        InvalidFile: the directory holds something other than a former report, or its parent cannot be
            written.
        MissingExtra: a package that reports need is not installed.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "report")
    directory = directory.resolve()
    if directory.exists():
        _check_replaceable(directory)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent):
            pass
    except OSError as error:
        raise InvalidFile(
            f"cannot write in {directory.parent}: {error.strerror}; create it first, or choose a writable directory"
        ) from None


def _check_replaceable(directory: Path) -> None:
    """A report is replaced as a whole, so nothing else may be lost with it."""
    if not directory.is_dir():
        raise InvalidFile(f"{directory} is a file; choose a directory")
    present = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()}
    if not present:
        return
    remedy = "choose another directory, or empty it first"
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        known = {INDEX, *index["files"]} if index["schema"] == SCHEMA else set()
    except (OSError, ValueError, KeyError, TypeError):
        known = set()
    if not known:
        raise InvalidFile(f"{directory} is not empty and holds no former report; {remedy}")
    if foreign := sorted(present - known):
        raise InvalidFile(f"{directory} holds {foreign[0]}, which no report wrote; {remedy}")


def stages(settings: Settings) -> int:
    """How many stages :func:`write_report` tells of."""
    from bomrl_theory.report import ladder
    from bomrl_theory.report.frozen_lake import VARIANCES

    ladders = len(VARIANCES) + 1 + len(ladder.Settings().shares)
    figures = 2 + len(settings.lambdas) + 1 + 2
    return len(VARIANCES) * settings.draws + ladders + figures + len(("tables", "order", "figures", "page"))


def write_report(
    run: Run,
    directory: Path,
    *,
    seed: int,
    command: str,
    on_stage: Callable[[str], None] = lambda stage: None,
    settings: Settings | None = None,
    changes: Changes | None = None,
) -> Path:
    """Write the report of a run and return its page.

    The files are built beside ``directory`` and take its place at the end; a failure leaves nothing
    behind, and a former report as it was. The same run gives the same bytes.

    Args:
        run: what was verified.
        directory: new, empty, or a former report.
        seed: of the run; also of the Frozen Lake study unless ``settings`` says otherwise.
        command: what regenerates the report, shown on the page.
        on_stage: called with the name of each stage.
        settings: of the Frozen Lake study.
        changes: since the baseline, if there is one.

    Raises:
        InvalidFile, MissingExtra: as :func:`check_destination`.
    """
    directory = Path(directory).resolve()
    check_destination(directory)
    from bomrl_theory.report.frozen_lake import Settings

    try:
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as workspace:
            # Made inside the private workspace, so that it gets the permissions a directory usually has.
            built = Path(workspace) / "report"
            built.mkdir()
            _build(run, built, seed, command, on_stage, settings or Settings(seed=seed), changes)
            _check_unchanged(directory)
            _put(built, directory, Path(workspace) / "former")
    except OSError as error:
        raise InvalidFile(f"cannot write {directory}: {error.strerror}; choose a writable directory") from error
    return directory / "index.html"


def _check_unchanged(directory: Path) -> None:
    """What appeared in the directory meanwhile is not overwritten either."""
    if directory.exists():
        _check_replaceable(directory)


def _put(built: Path, directory: Path, former: Path) -> None:
    if directory.exists():
        directory.rename(former)
    try:
        built.rename(directory)
    except OSError:
        if former.exists():
            former.rename(directory)
        raise


def _build(
    run: Run,
    directory: Path,
    seed: int,
    command: str,
    on_stage: Callable[[str], None],
    settings: Settings,
    changes: Changes | None,
) -> None:
    from bomrl_theory.report import html, ladder, tables
    from bomrl_theory.report.finding import counts
    from bomrl_theory.report.frozen_lake import study
    from bomrl_theory.report.latex import latex
    from bomrl_theory.report.markdown import markdown
    from bomrl_theory.report.versions import versions

    theorems = [result.theorem for result in run.results]
    lake = study(
        theorems,
        settings,
        on_draw=lambda variance, draw: on_stage(
            f"Frozen Lake study: {variance} variance, family {draw + 1} of {settings.draws}"
        ),
    )
    rungs = ladder.ladder(
        theorems,
        ladder.Settings(
            seed=settings.seed, tasks=settings.tasks, size=settings.size, uniform_share=settings.uniform_share
        ),
        on_case=lambda name: on_stage(f"bound ladder: {name}"),
    )
    on_stage("tables")
    verdicts = tables.verdicts(run)
    on_stage("order of the bounds")
    order = tables.order(run)
    for name, table in {
        "summary": tables.summary(run).drop(columns="seconds"),
        "constants": tables.constants(run),
        "counterexamples": tables.counterexamples(run),
        "order": order,
        "frozen_lake_returns": lake.returns,
        "frozen_lake_gaps": lake.gaps,
        "bound_ladders": rungs.cases,
        "bound_sweep": rungs.sweep,
    }.items():
        table.to_csv(directory / f"{name}.csv", index=False, lineterminator="\n")
    verdicts.to_csv(directory / VERDICTS, index=False, lineterminator="\n", compression=COMPRESSION)
    cases = {
        result.theorem.id: save_case(*result.counterexample, directory / "counterexamples")
        for result in run.results
        if result.counterexample is not None
    }
    case_files = {theorem: path.relative_to(directory).as_posix() for theorem, path in cases.items()}
    pictures = _draw(verdicts, theorems, lake, directory / "figures", on_stage, rungs)
    on_stage("page")
    told: dict[str, Any] = {"seed": seed, "command": command, "changes": changes}
    graphics = sorted(path.relative_to(directory).as_posix() for path in directory.glob("figures/*.png"))
    (directory / "report.md").write_text(
        markdown(run, counts=counts(run), counterexamples=case_files, figures=graphics, **told), encoding="utf-8"
    )
    (directory / "summary.tex").write_text(latex(run, command=command, counts=counts(run)), encoding="utf-8")
    text = html.page(
        run,
        lake,
        pictures,
        order,
        verdicts=verdicts,
        rungs=rungs.cases,
        **told,
        versions=versions(),
        counterexamples=case_files,
        files=[
            *sorted(path.name for path in directory.iterdir() if path.is_file()),
            *(INDEX, "figures/", "counterexamples/"),
        ],
    )
    (directory / "index.html").write_text(text, encoding="utf-8")
    index = _index(run, lake, seed, command, versions(), case_files, verdicts)
    index["changes"] = None if changes is None else asdict(changes)
    index["files"] = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    (directory / INDEX).write_text(json.dumps(index, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _draw(
    verdicts: Table,
    theorems: list[Theorem],
    lake: Study,
    folder: Path,
    on_stage: Callable[[str], None],
    rungs: Ladder,
) -> Any:
    """Draw, save and inline every figure."""
    from bomrl_theory.report import figures, ladder
    from bomrl_theory.report.histogram import histogram
    from bomrl_theory.report.html import Picture, Pictures

    folder.mkdir()

    def picture(stem: str, figure: Any, title: str, caption: str) -> Picture:
        on_stage(f"figure: {title}")
        figures.save(figure, folder, stem)
        text = (folder / f"{stem}.svg").read_text(encoding="utf-8")
        return Picture(figures.inline(text, stem, f"{title}. {caption}"), title, caption)

    topics = {theorem.id: topic for topic, members in by_topic(theorems).items() for theorem in members}
    own = dict(list(verdicts.groupby("theorem", sort=False)))
    inequalities = {theorem: topic for theorem, topic in topics.items() if theorem in own and _is_graded(own[theorem])}
    draws = lake.settings.draws
    on_stage("figures")
    return Pictures(
        overview=picture(
            "verdict_overview",
            figures.verdict_overview(verdicts, topics),
            "Verdicts",
            "How close the left side comes to its bound, for every theorem; bar heights are scaled theorem by theorem. "
            "Left of 1 the bound holds. Ratios beyond the axis are collected in its first and last bar.",
        ),
        scatter=picture(
            "gap_against_bound",
            figures.gap_against_bound(verdicts[verdicts["theorem"].isin(inequalities)], inequalities),
            "Gap against bound",
            "Every decided verdict of every inequality. On the diagonal the bound is attained; above it, violated.",
        ),
        returns=[
            picture(
                f"frozen_lake_returns_lambda_{lam.numerator}_{lam.denominator}",
                figures.frozen_lake_returns(lake.returns, str(lam)),
                f"Frozen Lake: return against adaptation steps, λ = {lam}",
                f"Mean over {draws} task families, with bootstrap intervals.",
            )
            for lam in lake.settings.lambdas
        ],
        gaps=picture(
            "frozen_lake_gaps",
            figures.frozen_lake_gaps(lake.gaps),
            "Frozen Lake: expected optimality gap and its bounds",
            "Bars end at the expected gap without and after one adaptation step; on the logarithmic axis only their "
            "end has a meaning. Each bound has its own row; the dotted line carries the gap down to it, and a mark "
            "left of that line lies below the gap.",
        ),
        ladders=[
            picture(
                "bound_ladders",
                ladder.bound_ladders(rungs.cases),
                "Bound ladder",
                "Every bound in scope, the smallest on top, from what it bounds to its value. A bound in the shaded "
                "part is informative: it says more than that the meta-policy was good already. A mark left of what "
                "it bounds is a certified violation.",
            ),
            picture(
                "bound_sweep",
                ladder.bound_sweep(rungs.sweep),
                "Bounds against task variance",
                "From equal tasks to the tasks as drawn. In colour the bounds that are tightest over the whole sweep; "
                "bounds that agree everywhere share a line.",
            ),
        ],
        histograms={
            theorem: Picture(
                histogram(rows, f"Distribution of left side over bound, {theorem}"),
                f"Left side over bound, {theorem}",
                "Verdicts by left side over bound; hatched ones are violated.",
            )
            for theorem, rows in own.items()
        },
    )


def _is_graded(rows: Table) -> bool:
    """Identities carry no grade; an inequality does wherever it holds, and is violated elsewhere."""
    return bool((rows["grade"].notna() | (rows["outcome"] == "VIOLATED")).any())


def _index(
    run: Run,
    lake: Study,
    seed: int,
    command: str,
    versions: dict[str, str],
    case_files: dict[str, str],
    verdicts: Table,
) -> dict[str, Any]:
    """The report for machines, and the mark by which a former report is known."""
    from bomrl_theory.report import tables
    from bomrl_theory.report.finding import headline
    from bomrl_theory.report.frozen_lake import CONFIDENCE

    settings = lake.settings
    return {
        "schema": SCHEMA,
        "headline": headline(run),
        "exit_code": int(run.exit_code),
        "finished": run.finished,
        "command": command,
        "seed": seed,
        "versions": versions,
        "cases": run.judged,
        "verdicts": sum(len(result.records) for result in run.results),
        "theorems": _records(tables.summary(run).drop(columns="seconds")),
        "tightest": _records(tables.tightest(verdicts)[["theorem", "case", "task", "ratio"]]),
        "counterexamples": case_files,
        "frozen_lake": {
            "seed": settings.seed,
            "families": settings.draws,
            "tasks": settings.tasks,
            "size": settings.size,
            "steps": settings.steps,
            "lambdas": [str(lam) for lam in settings.lambdas],
            "uniform_share": settings.uniform_share,
            "confidence": CONFIDENCE,
            "gaps": _records(lake.gaps),
        },
    }


def _records(table: Table) -> list[dict[str, Any]]:
    """Rows as JSON objects; what is missing or not finite is null."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if value is None or str(value) == "<NA>" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value
