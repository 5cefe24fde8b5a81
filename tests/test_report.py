"""The report: tables agree with the run, the page stands alone, and writing is all or nothing."""

import json
import os
import re
import shutil
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bomrl_theory.errors import InvalidFile
from bomrl_theory.report import figures, html, tables
from bomrl_theory.report.changes import Changes
from bomrl_theory.report.finding import Finding, finding, headline
from bomrl_theory.report.formula import GLYPHS, formula, pieces, to_mathtext, with_glyphs
from bomrl_theory.report.frozen_lake import GAP, OPTIMUM, Settings, Study, interval, study
from bomrl_theory.report.histogram import histogram
from bomrl_theory.report.latex import escaped
from bomrl_theory.report.markdown import markdown
from bomrl_theory.report.notation import claim_latex, symbol_latex
from bomrl_theory.report.ratio_text import ratio_text
from bomrl_theory.report.report import SCHEMA, check_destination, stages, write_report
from bomrl_theory.report.table import Table
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import by_topic
from bomrl_theory.verify.casefile import load_case
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.run import Run, verify
from bomrl_theory.verify.verdict import Outcome, judge

THEOREMS = ("contraction_kl_posterior", "published_bound", "published_bound_conditional", "performance_difference")
LAKE = Settings(draws=3, tasks=3, size=3, steps=2, lambdas=(Fraction(1, 10), Fraction(1, 100)))
SETTINGS = replace(LAKE, lambdas=(Fraction(1, 10),))
COMMAND = "bomrl report --cases 4 --seed 3"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@pytest.fixture(scope="module")
def run() -> Run:
    return verify([theorem_named(name) for name in THEOREMS], random_cases(np.random.SeedSequence(3), 4))


@pytest.fixture(scope="module")
def told() -> list[str]:
    """The stages of the first report."""
    return []


@pytest.fixture(scope="module")
def written(run: Run, told: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("report") / "out"
    return write_report(run, directory, seed=3, command=COMMAND, on_stage=told.append, settings=SETTINGS).parent


@pytest.fixture(scope="module")
def lake() -> Study:
    return study([theorem_named(name) for name in THEOREMS], LAKE)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is most of the time; what these tests ask is decided elsewhere."""
    empty = html.Picture("<svg></svg>", "title", "caption")
    pictures = html.Pictures(empty, empty, [empty], empty, {})

    def draw(*arguments: object) -> html.Pictures:
        (arguments[3]).mkdir()  # type: ignore[attr-defined]
        return pictures

    monkeypatch.setattr("bomrl_theory.report.report._draw", draw)


def _read(path: Path) -> Table:
    return pd.read_csv(path)


# --- files ----------------------------------------------------------------------------------------


def test_tables_on_disk_agree_with_the_run(run: Run, written: Path):
    summary = _read(written / "summary.csv")
    verdicts = _read(written / "verdicts.csv.gz")
    assert list(summary["theorem"]) == [result.theorem.id for result in run.results]
    assert "seconds" not in summary
    for result, (_, row) in zip(run.results, summary.iterrows(), strict=True):
        own = verdicts[verdicts["theorem"] == result.theorem.id]
        assert len(own) == len(result.records)
        for outcome in Outcome:
            assert row[outcome.lower()] == result.counts[outcome] == (own["outcome"] == outcome).sum()
        assert row["max_ratio"] == pytest.approx(result.max_ratio)
        assert row["certified_share"] == 1 - result.floats_only / len(result.records)
        np.testing.assert_array_equal(own["left"], [verdict.left for verdict in result.verdicts])
        np.testing.assert_array_equal(own["bound"], [verdict.bound for verdict in result.verdicts])


def test_order_in_the_report(run: Run, written: Path):
    """The page and the table tell the proved order, and never call it proved where a case contradicts it."""
    order = _read(written / "order.csv")
    proved = order[order["status"] == "proved"]
    pairs = set(zip(proved["smaller"], proved["larger"], strict=True))
    assert ("published_bound-v1", "published_bound_conditional-v1") in pairs
    assert (proved["above"] == 0).all()
    refuted = order[order["status"] == "refuted"]
    assert (refuted["above"] > 0).all()
    assert refuted["refuted_by"].notna().all()
    text = (written / "index.html").read_text(encoding="utf-8")
    assert "proved symbolically" in text
    assert text.count("confirmed by SymPy") == sum(len(result.theorem.derivations) for result in run.results)


def test_index_agrees_with_the_run_and_names_every_file(run: Run, written: Path):
    index = json.loads((written / "report.json").read_text())
    assert index["schema"] == SCHEMA
    assert (index["seed"], index["command"], index["exit_code"]) == (3, COMMAND, int(run.exit_code))
    assert index["cases"] == run.judged
    assert [row["theorem"] for row in index["theorems"]] == [result.theorem.id for result in run.results]
    present = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert present == {*index["files"], "report.json"}
    drawn = ("frozen_lake_gaps", "bound_ladders", "bound_sweep")
    assert {f"figures/{stem}.{kind}" for stem in drawn for kind in ("png", "svg", "pdf")} <= present
    assert {"bound_ladders.csv", "bound_sweep.csv"} <= present


def test_saved_counterexample_replays_to_the_same_verdict(run: Run, written: Path):
    index = json.loads((written / "report.json").read_text())
    theorem, case = load_case(written / index["counterexamples"]["published_bound-v1"])
    (verdict,) = judge(theorem_named(theorem), case)
    (expected,) = [r.counterexample for r in run.results if r.theorem.id == theorem]
    assert expected is not None
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.exact == expected[1].exact


def test_second_report_is_byte_identical_and_replaces_the_first(run: Run, written: Path, tmp_path: Path):
    again = tmp_path / "again"
    shutil.copytree(written, again)
    (again / "summary.csv").write_text("stale")
    write_report(run, again, seed=3, command=COMMAND, settings=SETTINGS)
    for path in sorted(written.rglob("*")):
        if path.is_file():
            assert (again / path.relative_to(written)).read_bytes() == path.read_bytes(), path.name
    assert list(tmp_path.iterdir()) == [again]


def test_progress_ends_at_its_total(written: Path, told: list[str]):
    assert len(told) == stages(SETTINGS)


# --- page -----------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Collects ids and links, and insists that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "srcset", "action", "data"):
                self.links.append(value or "")


def test_page_stands_alone(run: Run, written: Path):
    text = (written / "index.html").read_text()
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.startswith(("#", "data:")), link
        assert not link.startswith("#") or link[1:] in page.ids, link
    assert "http://" not in text
    assert "https://" not in text
    assert "url(http" not in text
    for result in run.results:
        assert result.theorem.id in page.ids
    assert COMMAND in text
    assert "bomrl verify --replay counterexamples/published_bound-v1-" in text
    assert "Traceback" not in text
    assert ">nan<" not in text


def test_expected_refutation_looks_unlike_a_broken_theorem(run: Run, lake: Study):
    picture = html.Picture("<svg></svg>", "title", "caption")
    pictures = html.Pictures(picture, picture, [picture], picture, {})

    def render(chosen: Run) -> str:
        return html.page(
            chosen,
            lake,
            pictures,
            tables.order(chosen),
            seed=0,
            command="",
            versions={},
            counterexamples={"published_bound-v1": "c.json"},
            files=[],
        )

    refuted = next(result for result in run.results if result.theorem.status == "refuted")
    broken = replace(refuted, theorem=replace(refuted.theorem, status="proved"))
    expected, unexpected = render(Run([refuted], 1)), render(Run([broken], 1))
    assert "All as expected" in expected
    assert 'class="counterexample note"' in expected
    assert "Counterexample, expected" in expected
    assert "Not as expected: 1 BROKEN (of 1 theorem)" in unexpected
    assert 'class="counterexample bad"' in unexpected
    assert "UNEXPECTED" in unexpected


def test_findings(run: Run):
    found = {result.theorem.name: finding(result) for result in run.results}
    assert found["published_bound"] is Finding.REFUTED
    assert found["contraction_kl_posterior"] is Finding.HOLDS
    assert headline(run).startswith("All as expected: 4 theorems, 1 of them refuted")
    assert headline(replace(run, finished=False)).startswith("Interrupted")
    empty = replace(run.results[0], records=[])
    assert finding(empty) is Finding.NOTHING
    tables.verdicts(Run([empty]))


@pytest.mark.parametrize(("ratio", "text"), [(None, "–"), (0.25, "0.25"), (1.0, "1"), (1 - 1e-9, "1 − 1.0e-09")])
def test_ratio_text(ratio: float | None, text: str):
    assert ratio_text(ratio) == text


def test_first_screen_and_groups(run: Run, written: Path):
    """Every topic of the run has its row and its heading; a theorem that does not just hold is named at the top."""
    text = (written / "index.html").read_text(encoding="utf-8")
    header = text[: text.index("</header>")]
    for topic in by_topic(result.theorem for result in run.results):
        anchor = f"topic-{topic.replace(' ', '-')}"
        assert f'href="#{anchor}"' in header
        assert f'id="{anchor}"' in text
        assert f"<span>{topic}</span>" in text
    assert 'href="#published_bound-v1"' in header
    assert "contraction_kl_posterior-v1" not in header
    assert text.count("<article") == text.count("</details>\n</article>") == len(run.results)


def test_histogram_shows_every_decided_verdict(run: Run):
    """Whatever has a ratio is counted once; a tie that holds stays left of the line, a violation right of it."""
    table = tables.verdicts(run)
    own = table[(table["theorem"] == "published_bound-v1") & table["ratio"].notna()]  # none where the bound is 0
    edges, held, violated = figures.ratio_counts(own)
    assert held.sum() == (own["outcome"] == Outcome.HOLDS).sum()
    assert violated.sum() == (own["outcome"] == Outcome.VIOLATED).sum() > 0
    assert not held[edges[:-1] >= 1 - 1e-9].any()
    assert not violated[edges[1:] <= 1 + 1e-9].any()
    drawn = histogram(own, "a & b")
    assert 'aria-label="a &amp; b"' in drawn
    assert drawn.count('class="held"') == drawn.count('class="violated"') == 1
    bars = [part.count("Z") for part in drawn.split("<path")[1:3]]
    assert bars == [np.count_nonzero(held), np.count_nonzero(violated)]


# --- formulas -------------------------------------------------------------------------------------


@pytest.mark.parametrize("theorem", registry().values(), ids=lambda theorem: theorem.id)
def test_every_formula_of_the_registry_renders(theorem):
    for latex in (theorem.statement, claim_latex(theorem)):
        assert formula(latex).startswith("<span"), latex
    for constant in theorem.constants:
        assert formula(symbol_latex(constant.name, getattr(constant.symbol, "indices", ()))).startswith("<span")
    for assumption in theorem.assumptions:
        for part in assumption.statement.split("$")[1::2]:
            assert formula(part).startswith("<span"), part


@pytest.mark.parametrize(
    ("latex", "mathtext"),
    [
        (r"a \le b", r"a \leq  b"),
        (r"\frac1C", r"\dfrac{1}{C}"),
        (r"\frac{1}{\frac a b}", r"\dfrac{1}{\frac{a}{b}}"),
        (r"\nu^\phi", r"\nu ^{\phi }"),
        (r"+ x", "{}+ x"),
    ],
)
def test_mathtext(latex: str, mathtext: str):
    assert to_mathtext(latex) == mathtext


def test_pieces_keep_brackets_whole_and_lose_nothing():
    latex = r"a \le \left( b = c \right) + d \quad e"
    assert pieces(latex) == ["a", r"\le \left( b = c \right) + d", "e"]


def test_a_page_draws_each_character_once():
    page = with_glyphs(GLYPHS + formula(r"x + x") + formula("x"))
    assert page.count("<use") == 4
    assert page.count("<path id=") == 2  # x and +
    for name in re.findall(r'href="#(\w+)"', page):
        assert page.count(f'id="{name}"') == 1


def test_unknown_latex_falls_back_to_code():
    assert formula(r"\nosuchcommand < x") == r"<code>\nosuchcommand &lt; x</code>"


# --- Frozen Lake ----------------------------------------------------------------------------------


def test_study_starts_at_the_meta_policy_and_stays_below_the_optimum(lake: Study):
    returns = lake.returns
    assert set(returns["step"]) == {0, 1, 2}
    for _, group in returns.groupby(["variance", "lambda"]):
        optimum = group.loc[group["algorithm"] == OPTIMUM, "mean"].max()
        assert (group["mean"] <= optimum + 1e-12).all()
        assert group.loc[group["step"] == 0].query("algorithm != 'optimum'")["mean"].nunique() == 1
        gaps = lake.gaps[lake.gaps["quantity"] == GAP].merge(group[["variance", "lambda"]].drop_duplicates())
        for algorithm in ("kl-prior", "kl-posterior", "euclidean", "policy-gradient"):
            after = group.query("algorithm == @algorithm and step == 1")["mean"].item()
            gap = gaps.loc[gaps["algorithm"] == algorithm, "mean"].item()
            assert gap == pytest.approx(optimum - after, abs=1e-12)
    assert (returns["low"] <= returns["mean"] + 1e-12).all()
    assert (returns["mean"] <= returns["high"] + 1e-12).all()


def test_only_valid_bounds_and_refuted_forms_are_drawn(lake: Study):
    gaps = lake.gaps
    assert GAP in set(gaps["quantity"])
    assert "performance_difference-v1" not in set(gaps["quantity"])
    valid = gaps[gaps["drawn"] & (gaps["kind"] == "proved")]
    assert len(valid)
    assert (valid["holds"] == valid["draws"]).all()
    assert valid["certified"].all()
    own = gaps[gaps["quantity"] == GAP].set_index(["variance", "lambda", "algorithm"])["mean"]
    for row in valid.to_dict("records"):
        assert row["mean"] >= own[(row["variance"], row["lambda"], row["algorithm"])]
    conditional = gaps[gaps["quantity"] == "published_bound_conditional-v1"]
    assert not conditional["drawn"].any()
    assert conditional["reason"].str.contains("lambda above threshold").all()
    published = gaps[gaps["quantity"] == "published_bound-v1"]
    assert published["drawn"].all()
    assert (published["holds"] + published["violated"] == published["draws"]).all()


def test_interval_of_a_constant_a_gap_and_a_sample():
    rng = np.random.default_rng(0)
    samples = np.stack([np.ones(6), np.array([1, 2, np.nan, 4, 5, 6]), rng.normal(size=6)], axis=-1)
    low, high = interval(samples, rng)
    assert low[0] == high[0] == 1
    assert np.isnan(low[1])
    assert low[2] < samples[:, 2].mean() < high[2]
    assert np.isnan(interval(samples[:1], rng)[0]).all()


def test_figures_leave_global_settings_alone(lake: Study):
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.svg(figures.frozen_lake_returns(lake.returns, "1/10"))
    assert dict(matplotlib.rcParams) == before


# --- refusals -------------------------------------------------------------------------------------


def test_a_directory_with_other_content_is_refused(run: Run, tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidFile, match="no former report; choose another directory"):
        check_destination(tmp_path)
    with pytest.raises(InvalidFile):
        write_report(run, tmp_path, seed=0, command="", settings=SETTINGS)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("index", ["{}", "[]", "not json", '{"schema": "other", "files": []}'])
def test_a_foreign_report_json_is_not_a_report(index: str, tmp_path: Path):
    (tmp_path / "report.json").write_text(index)
    with pytest.raises(InvalidFile, match="no former report"):
        check_destination(tmp_path)


def test_a_report_with_an_added_file_is_refused(tmp_path: Path):
    (tmp_path / "report.json").write_text(json.dumps({"schema": SCHEMA, "files": ["index.html"]}))
    (tmp_path / "index.html").write_text("")
    check_destination(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidFile, match=r"notes\.txt"):
        check_destination(tmp_path)


def test_places_that_cannot_be_written_are_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidFile, match="is a file"):
        check_destination(tmp_path / "file")
    with pytest.raises(InvalidFile, match="create it first"):
        check_destination(tmp_path / "missing" / "report")
    with pytest.raises(InvalidFile, match="cannot write"):
        check_destination(tmp_path / "file" / "report")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_parent_is_refused(tmp_path: Path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InvalidFile, match="cannot write"):
            check_destination(tmp_path / "report")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("error", [RuntimeError("midway"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failure_midway_leaves_nothing_behind(
    error: BaseException, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = tmp_path / "report"
    tiny = replace(SETTINGS, draws=1, tasks=1, steps=1)
    page = write_report(run, target, seed=0, command="first", settings=tiny)
    former = page.read_bytes()

    def fail(*arguments: object, **keywords: object) -> str:
        raise error

    monkeypatch.setattr(html, "page", fail)
    expected = InvalidFile if isinstance(error, OSError) else type(error)
    for directory in (target, tmp_path / "new"):
        with pytest.raises(expected):
            write_report(run, directory, seed=0, command="second", settings=tiny)
    assert list(tmp_path.iterdir()) == [target]
    assert page.read_bytes() == former


# --- other formats --------------------------------------------------------------------------------


def test_markdown_says_what_the_run_says(run: Run, written: Path):
    """One row a theorem with its counts, the counterexample with a file that exists, and figures that exist."""
    text = (written / "report.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {headline(run)}\n")
    for result in run.results:
        (row,) = re.findall(rf"^\| `{result.theorem.id}` \|(.*)\|$", text, re.MULTILINE)
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[0].endswith(str(finding(result)))
        assert cells[1] == ratio_text(result.max_ratio)
        assert [int(cell.replace(",", "")) for cell in cells[2:6]] == list(result.counts.values())
    (replayed,) = re.findall(r"--replay (\S+)`", text)
    assert load_case(written / replayed)[0] == "published_bound-v1"
    figures_shown = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(figures_shown) >= 5
    assert all((written / name).is_file() for name in figures_shown)


def test_latex_table_is_well_formed(run: Run, written: Path):
    """Every row has four cells, every brace its partner, and nothing that LaTeX would choke on is left in text."""
    text = (written / "summary.tex").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith(r"\texttt")]
    assert len(rows) == len(run.results)
    for row, result in zip(rows, sorted(run.results, key=lambda one: rows_order(one.theorem.id, rows)), strict=True):
        name, title, said, ratio = re.split(r"(?<!\\) & ", row.removesuffix(r" \\"))
        assert title == escaped(result.theorem.title)
        assert name.replace(r"\allowbreak ", "").replace(r"\_", "_") == rf"\texttt{{{result.theorem.id}}}"
        assert said in {"holds", "refuted", "nothing in scope"}
        assert ratio
    body = re.sub(r"\\[{}]", "", text)
    assert body.count("{") == body.count("}")
    assert text.isascii()
    assert escaped("50 % of x_1 & {y}") == r"50 \% of x\_1 \& \{y\}"


def rows_order(theorem: str, rows: list[str]) -> int:
    name = theorem.replace("_", r"\_\allowbreak ")
    return next(place for place, row in enumerate(rows) if name + "}" in row)


def test_what_changed_since_the_baseline_is_told(run: Run, lake: Study):
    """On the first screen, in its own section, and in Markdown; a report without a baseline is silent about it."""
    empty = html.Picture("<svg></svg>", "title", "caption")
    pictures = html.Pictures(empty, empty, [empty], empty, {})
    changes = Changes("my_baselines", 3, {"coverage-v1": ("coverage-v1: looser by 1.05", "  new/old bound < 2")})
    told = {"seed": 3, "command": COMMAND, "counterexamples": {}}

    def page(changes: Changes | None) -> str:
        return html.page(run, lake, pictures, tables.order(run), versions={}, files=[], changes=changes, **told)

    text, silent = page(changes), page(None)
    first_screen, _, rest = text.partition('<section id="summary"')
    assert "1 different from the baseline in my_baselines, 3 unchanged." in first_screen
    assert "looser by 1.05\n  new/old bound &lt; 2</pre>" in rest
    assert "baseline" not in silent
    lines = markdown(run, counts="", figures=[], changes=changes, **told)
    assert "coverage-v1: looser by 1.05\n  new/old bound < 2\n```" in lines
    assert Changes("b", 4, {}).summary == "All 4 theorems are unchanged since the baseline in b."
