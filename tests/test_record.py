"""Long runs of ``bomrl verify``: killed, interrupted or resumed with something foreign."""

from __future__ import annotations

import base64
import json
import math
import shlex
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb, fmpq
from helpers import Bomrl, fraction, radius
from hypothesis import given
from hypothesis import strategies as st

from bomrl_theory import cli
from bomrl_theory.errors import InvalidFile
from bomrl_theory.numbers import FLOATS, Balls, Enclosure, Rationals
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.files import save_family
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify import fingerprint, work
from bomrl_theory.verify.journal import Journal
from bomrl_theory.verify.record import LINE, Record
from bomrl_theory.verify.run import Plan, verify
from bomrl_theory.verify.stored import restored, restored_number, stored, stored_number
from bomrl_theory.verify.verdict import Outcome, Verdict, judge

THEOREMS = ("cpo_upper", "no_adaptation", "performance_difference")
FAMILY = "bandit:arms=2,tasks=2"
RUN = ("verify", *THEOREMS, "--family", FAMILY, "--cases", "2", "--workers", "1")
JUDGED = 49
"""Cases of that run, witnesses included."""


def exactly(x: Any) -> tuple[Any, ...]:
    """Everything about a number: two are the same number only if this agrees."""
    if isinstance(x, Enclosure):
        return Enclosure, *(np.float64(part).tobytes() for part in (x.mid, x.rad))
    if isinstance(x, arb):
        return (arb, fraction(x), radius(x)) if x.is_finite() else (arb, str(x))
    return (fmpq, x.p, x.q) if isinstance(x, fmpq) else (float, np.float64(x).tobytes())


def everything(verdict: Verdict) -> tuple[Any, ...]:
    sides = None if verdict.sides is None else tuple(map(exactly, verdict.sides))
    known = {name: value for name, value in vars(verdict).items() if name != "sides"}
    return sides, tuple(known.items()), type(verdict.outcome), type(verdict.grade), verdict.exact


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The theorems that are judged from now on in this process, once for each case."""
    told: list[str] = []
    original = work.judge

    def counted(theorem: Theorem, *arguments: Any, **settings: Any) -> list[Verdict]:
        told.append(theorem.id)
        return original(theorem, *arguments, **settings)

    monkeypatch.setattr(work, "judge", counted)
    return told


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The record of the whole run."""
    path = tmp_path_factory.mktemp("kept") / "record.jsonl"
    theorems = [theorem_named(name) for name in THEOREMS]
    plan = Plan.of(theorems, (FAMILY,), 2)
    with Record(path, plan.fingerprint(theorems), resume=False) as record:
        run = verify(theorems, plan.generate(), sparing=True, record=record)
    assert run.judged == record.kept == JUDGED
    return path.read_bytes()


def pairs(lines: list[bytes]) -> int:
    """Pairs of a theorem and a case on lines of a record."""
    return sum(len(json.loads(zlib.decompress(base64.b64decode(json.loads(line)["found"])))) for line in lines)


# --- verdicts as JSON ------------------------------------------------------------------------------


@given(st.floats(), st.floats(0), st.fractions(), st.floats(-1e300, 1e300), st.floats(0, 1e10))
def test_every_number_comes_back_to_the_last_bit(
    mid: float, rad: float, rational: Fraction, middle: float, spread: float
) -> None:
    huge = fmpq(3**20_000, 7**9_000)  # too long for Python's decimal digits
    with flint.ctx.workprec(1024):
        balls = [arb(middle, spread), arb(middle, spread) / 3, arb(2).sqrt() * arb(middle), arb("nan"), arb("inf")]
    numbers = [Enclosure(np.float64(mid), np.float64(rad)), np.float64(mid), fmpq(*rational.as_integer_ratio()), huge]
    for number in (*numbers, *balls):
        again = restored_number(json.loads(json.dumps(stored_number(number))))
        assert exactly(again) == exactly(number)
    with pytest.raises(TypeError, match="is no number"):
        stored_number("1")


def test_every_kind_of_verdict_comes_back_whole() -> None:
    """Of each number system, in and out of scope, violated, undecided, about tasks and families, with comparators."""
    names = ("coverage", "published_bound", "task_variance", "contraction_euclidean", "contraction_linear_quadratic")
    theorems = [theorem_named(name) for name in names]
    verdicts = [
        verdict
        for theorem in theorems
        for make in (theorem.witness, theorem_named("no_adaptation").witness)
        for only in ((), (FLOATS,), (Balls(128),), (Rationals(256),))
        for verdict in judge(theorem, make(), only=only if theorem.setting == "tabular" else only[:0])
    ]
    unknown = Verdict("x-v1", Outcome.UNDECIDED, None, (Enclosure(np.float64(1), np.float64(math.inf)), arb("nan")))
    for verdict in (*verdicts, unknown):
        again = restored(verdict.theorem, json.loads(json.dumps(stored(verdict))))
        assert everything(again) == everything(verdict)
    assert {verdict.outcome for verdict in verdicts} >= {Outcome.HOLDS, Outcome.VIOLATED, Outcome.OUT_OF_SCOPE}
    assert len({verdict.numbers for verdict in verdicts}) >= 4
    assert any(verdict.chosen for verdict in verdicts)


# --- runs that ended early -----------------------------------------------------------------------


@pytest.mark.parametrize(("share", "workers"), [(0.0, None), (0.4, None), (1.0, None), (0.4, 2)])
def test_only_what_is_missing_is_judged(
    kept: bytes, tmp_path: Path, judged: list[str], share: float, workers: int | None
) -> None:
    """Every verdict and its place as without the interruption, also where cases in the middle are missing."""
    header, *lines = kept.splitlines(keepends=True)
    held = [line for number, line in enumerate(lines) if number % 5 < 5 * share]
    path = tmp_path / "record.jsonl"
    path.write_bytes(header + b"".join(held))
    theorems = [theorem_named(name) for name in THEOREMS]
    plan = Plan.of(theorems, (FAMILY,), 2)
    whole = verify(theorems, plan.generate(), sparing=True)
    assert len(judged) == pairs(lines)
    judged.clear()
    with Record(path, plan.fingerprint(theorems), resume=True) as record:
        shared = None if workers is None else work.Workers(THEOREMS, workers)
        run = verify(theorems, plan.generate(), sparing=True, record=record, workers=shared)
    assert len(judged) == (0 if workers else pairs(lines) - pairs(held))  # processes have a count of their own
    assert run.judged == whole.judged == record.kept == JUDGED
    for result, expected in zip(run.results, whole.results, strict=True):
        assert list(map(everything, result.verdicts)) == list(map(everything, expected.verdicts))
        cases = [(case.describe() for case, _ in each.records) for each in (result, expected)]
        assert list(cases[0]) == list(cases[1])
    added = path.read_bytes().splitlines()[1 + len(held) :]
    assert {json.loads(line)["case"] for line in added} == {json.loads(line)["case"] for line in set(lines) - set(held)}


def test_kill_9_and_resume_gives_the_same_output(bomrl: Bomrl, tmp_path: Path, judged: list[str]) -> None:
    """Killed while two processes work: at most the cases in flight are lost, no process stays, one process goes on."""
    arguments = ["verify", *THEOREMS, "--family", FAMILY, "--cases", "8", "--json"]
    whole = bomrl(*arguments, "--workers", "1", "--record", "whole.jsonl")
    total, done = len(judged), 0
    path = tmp_path / "killed.jsonl"
    command = [sys.executable, "-m", "bomrl_theory", *arguments, "--workers", "2", "--record", path.name]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") > 3):
        time.sleep(0.002)
    process.kill()
    out, errors = process.communicate(timeout=60)  # which waits for every process that holds the pipes
    assert (process.returncode, out) == (-signal.SIGKILL, b""), errors
    done = pairs([line for line in path.read_bytes().splitlines(keepends=True)[1:] if line.endswith(b"\n")])
    assert 0 < done < total
    judged.clear()
    assert bomrl(*arguments, "--workers", "1", "--record", path.name, "--resume") == whole
    assert len(judged) == total - done
    content = [
        sorted(line[:40] for line in file.read_bytes().splitlines()) for file in (path, tmp_path / "whole.jsonl")
    ]
    assert content[0] == content[1]


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_cut_last_line_counts_as_not_written(
    bomrl: Bomrl, kept: bytes, tmp_path: Path, judged: list[str], cut: int
) -> None:
    """Whether its end is missing or all but its beginning; it is judged and written again."""
    lines = kept.splitlines(keepends=True)
    path = tmp_path / "record.jsonl"
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
    code, out, err = bomrl(*RUN, "--record", path.name, "--resume", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["judged"] == JUDGED
    assert len(judged) == pairs(lines[-1:])
    assert [line[:40] for line in path.read_bytes().splitlines()] == [line[:40] for line in kept.splitlines()]


@pytest.mark.parametrize("held", [0, 100, -1], ids=["empty", "cut header", "header without its end"])
def test_a_kill_before_the_first_case_begins_anew(bomrl: Bomrl, kept: bytes, tmp_path: Path, held: int) -> None:
    path = tmp_path / "record.jsonl"
    path.write_bytes(kept.splitlines(keepends=True)[0][:held])
    code, _, err = bomrl(*RUN, "--record", path.name, "--resume")
    assert (code, err) == (0, "")
    assert path.read_bytes().count(b"\n") == 1 + JUDGED


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Ctrl-C at some pair of a theorem and a case."""
    left = iter(range(after))
    original = work.judge

    def judge_some(*arguments: Any, **settings: Any) -> list[Verdict]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return original(*arguments, **settings)

    monkeypatch.setattr(work, "judge", judge_some)


def test_interrupt_says_how_to_go_on(bomrl: Bomrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C: what was decided, exit code 130, and a command that, pasted, ends as if nothing had happened."""
    arguments = [*RUN, "--family", "chain:states=3,tasks=2", "--seed", "3", "--json"]
    whole = bomrl(*arguments)
    with monkeypatch.context() as patch:
        interrupted(patch, 10)
        code, out, err = bomrl(*arguments, "--record", "my record.jsonl")
        partial = json.loads(out)
    assert (code, partial["finished"], 0 < partial["judged"] < JUDGED) == (130, False, True)
    first, command = err.splitlines()
    total = json.loads(whole[1])["judged"]
    assert first == f"interrupted; my record.jsonl keeps {partial['judged']} of {total} cases; go on with:"
    assert command == (
        f"  bomrl verify {' '.join(THEOREMS)} --family {FAMILY} --family chain:states=3,tasks=2 --cases 2 --seed 3 "
        "--json --workers 1 --record 'my record.jsonl' --resume"
    )
    assert bomrl(*shlex.split(command)[1:]) == whole


def test_interrupt_without_a_record_says_what_would_help(bomrl: Bomrl, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(monkeypatch, 10)
    code, out, err = bomrl(*RUN)
    assert code == 130
    assert "interrupted: the table holds what was decided until then" in out
    assert err == "interrupted; with --record FILE.jsonl a run can be resumed where it was\n"


def test_the_table_says_the_same_after_a_resumption(bomrl: Bomrl, kept: bytes, tmp_path: Path) -> None:
    """Also the time, which was spent before."""
    (tmp_path / "record.jsonl").write_bytes(kept)
    first, again = (bomrl(*RUN, "--record", "record.jsonl", "--resume") for _ in range(2))
    assert first == again
    assert f"verdicts on {JUDGED} cases, all certified" in first[1]
    plain = bomrl(*RUN)[1]
    without_times = [[word for word in out.split() if not word.replace(".", "").isdigit()] for out in (first[1], plain)]
    assert without_times[0] == without_times[1]


def test_certificates_go_on_too(bomrl: Bomrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they hold is not written again; a foreign file is refused and stays."""
    bomrl(*RUN, "--certificates", "whole.jsonl")
    options = ("--certificates", "cut.jsonl", "--record", "record.jsonl")
    with monkeypatch.context() as patch:
        interrupted(patch, 20)
        assert bomrl(*RUN, *options)[0] == 130
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert whole.read_bytes().startswith(cut.read_bytes())
    cut.write_bytes(cut.read_bytes()[:-7])
    assert bomrl(*RUN, *options, "--resume")[0] == 0
    assert cut.read_bytes() == whole.read_bytes()
    for text in (b"mine", whole.read_bytes().replace(b"bandit", b"bondit", 1), b"mine\n" + whole.read_bytes()):
        cut.write_bytes(text)
        code, _, err = bomrl(*RUN, *options, "--resume")
        assert code == 2
        assert "is none of the run that is resumed; move the file away" in err
        assert cut.read_bytes() == text
    assert bomrl(*RUN, *options)[0] == 2
    assert bomrl(*RUN, "--certificates", "cut.jsonl", "--record", "new.jsonl")[0] == 2
    assert not (tmp_path / "new.jsonl").exists()


def test_a_report_goes_on_with_the_same_mechanism(
    bomrl: Bomrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: list[str]
) -> None:
    """Interrupted twice, in the verification and while it is written: it is told how to go on, and nothing is judged
    twice."""
    pytest.importorskip("pandas")
    from bomrl_theory.report import report

    theorems = [theorem_named(name) for name in THEOREMS]
    monkeypatch.setattr(cli, "_theorems", lambda names: theorems)
    seen: list[Any] = []

    def write(run: Any, output: Path, **told: Any) -> Path:
        seen.append((run.judged, told["command"], [list(map(everything, result.verdicts)) for result in run.results]))
        if len(seen) == 2:
            raise KeyboardInterrupt
        output.mkdir(exist_ok=True)
        (output / report.INDEX).write_text(json.dumps({"schema": report.SCHEMA, "files": [], "counterexamples": {}}))
        return output / "index.html"

    monkeypatch.setattr(report, "write_report", write)
    arguments = ("report", *RUN[1 + len(THEOREMS) :])
    assert bomrl(*arguments)[0] == 0
    total = len(judged)
    judged.clear()
    command = f"  bomrl {' '.join(arguments)} --record kept.jsonl --resume"
    with monkeypatch.context() as patch:
        interrupted(patch, 10)
        code, _, err = bomrl(*arguments, "--record", "kept.jsonl")
    assert (code, err.splitlines()[1:]) == (130, [command])
    assert len(seen) == 1
    code, _, err = bomrl(*command.split()[1:])
    assert (code, err.splitlines()) == (
        130,
        [f"interrupted; kept.jsonl keeps {JUDGED} of {JUDGED} cases; go on with:", command],
    )
    assert bomrl(*command.split()[1:])[0] == 0
    assert seen[0] == seen[1] == seen[2]
    assert total <= len(judged) <= total + len(THEOREMS)  # the case that was in flight


# --- what is refused -----------------------------------------------------------------------------


def renumbered(line: bytes, number: int) -> bytes:
    """The line under another case's number, with a checksum that fits."""
    match = LINE.fullmatch(line)
    assert match is not None
    text = match[1].replace(b'"case":%b' % match[2], b'"case":%d' % number)
    return b'%b,"crc32":%d}\n' % (text, zlib.crc32(text))


def edited(kept: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """With a changed header."""
    header, *lines = kept.splitlines(keepends=True)
    content = json.loads(header)
    change(content["run"])
    return json.dumps(content).encode() + b"\n" + b"".join(lines)


def damaged(kept: bytes) -> bytes:
    lines = kept.splitlines(keepends=True)
    place = lines[5].index(b'"found":"') + 30
    lines[5] = lines[5][:place] + bytes([lines[5][place] ^ 1]) + lines[5][place + 1 :]
    return b"".join(lines)


def swapped(kept: bytes) -> bytes:
    lines = kept.splitlines(keepends=True)
    lines[20], lines[30] = (renumbered(lines[one], other - 1) for one, other in ((30, 20), (20, 30)))
    return b"".join(lines)


OTHER = "belongs to another run ("
FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "damaged in the middle": (damaged, "record.jsonl, line 6 is damaged; keep the lines above it"),
    "cut in the middle": (lambda kept: kept[:3000] + kept[3010:], "is damaged"),
    "verdicts of another case": (swapped, "is another one in this run; name another file"),
    "no record": (lambda _: b"notes\n", "is no record of bomrl verify (bomrl-record-1); name another file"),
    "no line at all": (lambda _: b"notes", "is no record of bomrl verify"),
    "other JSON": (lambda kept: b"[1]\n" + kept, "is no record"),
    "another version": (
        lambda kept: edited(kept, lambda run: run["versions"].update(bomrl_theory="0.0.1")),
        f"{OTHER}bomrl_theory 0.0.1 instead of ",
    ),
    "another claim": (
        lambda kept: edited(kept, lambda run: run["theorems"][0].__setitem__(1, "0")),
        f"{OTHER}cpo_upper-v1 claims something else)",
    ),
    "another code": (
        lambda kept: edited(kept, lambda run: run.update(code="0")),
        f"{OTHER}the code of bomrl_theory or of a theorem's file has changed)",
    ),
    "another form": (lambda kept: edited(kept, lambda run: run.pop("seed")), f"{OTHER}of another form)"),
}


@pytest.mark.parametrize(("change", "message"), FILES.values(), ids=FILES)
def test_a_file_that_is_not_this_record_is_refused_and_kept(
    bomrl: Bomrl, kept: bytes, tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "record.jsonl"
    path.write_bytes(change(kept))
    code, out, err = bomrl(*RUN, "--record", path.name, "--resume")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
    assert path.read_bytes() == change(kept)
    assert list(tmp_path.iterdir()) == [path]


ALL = "theorems " + ", ".join(f"{name}-v1" for name in THEOREMS)
RUNS: dict[str, tuple[tuple[str, ...], str]] = {
    "seed": ((*RUN, "--seed", "4"), "(seed 0 instead of 4); repeat its command with --resume, or name another file"),
    "cases": ((*RUN, "--cases", "7"), "(2 meta-policies a family instead of 7 meta-policies a family)"),
    "theorems": (("verify", "coverage", *RUN[4:]), f"({ALL} instead of theorem coverage-v1"),
    "order": (
        ("verify", *reversed(THEOREMS), *RUN[4:]),
        f"({ALL} instead of theorems performance_difference-v1, no_adaptation-v1, cpo_upper-v1)",
    ),
    "families": ((*RUN, "--family", "chain"), f"(family {FAMILY} instead of families {FAMILY}, chain)"),
    "random families": (
        (*RUN[:4], "--cases", "6"),
        f"(family {FAMILY} instead of 4 families, 2 meta-policies a family instead of 6 random families)",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), RUNS.values(), ids=RUNS)
def test_a_record_of_another_run_is_refused(
    bomrl: Bomrl, kept: bytes, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """A record is never trusted for what was not decided in it; the difference is named."""
    path = tmp_path / "record.jsonl"
    path.write_bytes(kept)
    code, out, err = bomrl(*arguments, "--record", path.name, "--resume")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
    assert path.read_bytes() == kept


def test_an_existing_file_is_never_overwritten(bomrl: Bomrl, kept: bytes, tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_bytes(kept)
    code, out, err = bomrl(*RUN, "--record", path.name)
    assert (code, out) == (2, "")
    assert err == "error: record.jsonl exists already; move it away, or give another name\n"
    assert path.read_bytes() == kept


def test_a_changed_theorem_file_is_another_run(bomrl: Bomrl, tmp_path: Path) -> None:
    """Whether its bound changes or only what measures it."""
    source = (Path(cli.__file__).parent / "theorems" / "no_adaptation.py").read_text()
    file = tmp_path / "no_adaptation.py"
    file.write_text(source)
    arguments = ("verify", "no_adaptation.py", "--family", FAMILY, "--record", "record.jsonl")
    assert bomrl(*arguments)[0] == 0
    assert bomrl(*arguments, "--resume")[0] == 0
    file.write_text(source + "\n# another line\n")
    assert "the code of bomrl_theory or of a theorem's file has changed" in bomrl(*arguments, "--resume")[2]
    file.write_text(source.replace("bound=", "bound=2 * "))
    assert "no_adaptation-v1 claims something else" in bomrl(*arguments, "--resume")[2]


def test_tasks_count_and_not_the_name_of_their_file(bomrl: Bomrl, tmp_path: Path) -> None:
    for seed, name in ((1, "a.npz"), (1, "b.npz"), (2, "c.npz")):
        save_family(family_named("bandit:arms=2,tasks=2", np.random.default_rng(seed)), tmp_path / name)
    options = ("--record", "record.jsonl")
    assert bomrl("verify", "coverage", "--family", "a.npz", *options)[0] == 0
    assert bomrl("verify", "coverage", "--family", "b.npz", *options, "--resume")[0] == 0
    assert (
        "family a.npz instead of family c.npz"
        in bomrl("verify", "coverage", "--family", "c.npz", *options, "--resume")[2]
    )
    (tmp_path / "c.npz").replace(tmp_path / "a.npz")
    assert "another content of a.npz" in bomrl("verify", "coverage", "--family", "a.npz", *options, "--resume")[2]


def test_a_file_in_use_is_refused(bomrl: Bomrl, kept: bytes, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "record.jsonl"
    path.write_bytes(kept)
    journal = Journal(path)
    code, _, err = bomrl(*RUN, "--record", path.name, "--resume")
    assert code == 2
    assert "is in use by another run" in err
    journal.close()
    assert bomrl(*RUN, "--record", path.name, "--resume")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*RUN, "--resume"), "--resume goes on with what --record FILE.jsonl has kept"),
        (("report", "--resume"), "--resume goes on with what --record FILE.jsonl has kept"),
        (("verify", "--replay", "x.json", "--record", "y.jsonl"), "--replay decides one case"),
        ((*RUN, "--record", "missing/record.jsonl"), "choose a writable place"),
    ],
)
def test_options_that_make_no_sense_are_told(
    bomrl: Bomrl, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = bomrl(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_was_written(tmp_path: Path, kept: bytes) -> None:
    """A line that was written in part is an error, and counts as not written afterwards."""
    path = tmp_path / "record.jsonl"
    journal = Journal(path)
    journal.append(b"one\n")
    original = journal._file  # pyright: ignore[reportPrivateUsage]
    journal._file = SimpleNamespace(write=lambda text: original.write(text[:2]))  # pyright: ignore
    with pytest.raises(InvalidFile, match=r"cannot write .*No space left"):
        journal.append(b"two\n")
    original.close()
    again = Journal(path)
    assert list(again.lines()) == [b"one\n"]
    assert again.tail == b"tw"
    again.cut()
    again.append(b"three\n")
    assert path.read_bytes() == b"one\nthree\n"
    again.close()


def test_code_elsewhere_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed line in the package's own sources makes another fingerprint."""
    theorems = [theorem_named("coverage")]
    plan = Plan.of(theorems, (FAMILY,), 1)
    before = plan.fingerprint(theorems)
    package = tmp_path / "bomrl_theory"
    for part in fingerprint.CODE:
        (package / part).mkdir(parents=True)
    (package / "verify" / "verdict.py").write_text("changed")
    monkeypatch.setattr(fingerprint.bomrl_theory, "__file__", str(package / "__init__.py"))
    after = plan.fingerprint(theorems)
    assert after.code != before.code
    assert before.differences(json.loads(json.dumps(after.as_json()))).startswith("the code of bomrl_theory")
    assert before.differences(json.loads(json.dumps(before.as_json()))) == ""
