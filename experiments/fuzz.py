"""Attack the command line and every file reader with damaged input.

Each input is a valid command whose files or arguments were damaged: bytes flipped, cut off, spliced; values of a JSON
document replaced, dropped, renamed; arrays of wrong shape, type or size; options with nonsense. An input passes if the
command ends within 10 s with a documented exit code and at most one line of error, prints no traceback and no warning
of Python's, leaves its input files as they were, and leaves nothing half-written behind.

    python experiments/fuzz.py --inputs 100000 -o results/fuzz.json

A killed run is taken up where it was. What failed is kept in ``OUTPUT.failures/``, each input in a directory with its
command.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import random
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np

from bomrl_theory import cli
from bomrl_theory.regress.corpus import pinned_corpus
from bomrl_theory.report.report import SCHEMA as REPORT
from bomrl_theory.report.versions import versions
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.files import replacing, save_family
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.verify.casefile import write_case
from bomrl_theory.verify.parts import run_parts
from bomrl_theory.verify.verdict import judge

PART = 250
"""Inputs in one part."""
SECONDS = 10
PATIENCE = 300
"""For undamaged input, in seconds: the first command of a kind imports what it needs."""
MEMORY = 6 * 2**30
"""A process that asks for more address space fails the input."""
EXIT_CODES = (0, 1, 2, 3, 130)

# --- valid input ---------------------------------------------------------------------------------

BOUND = '''"""A bound of one's own."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, gap_phi
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="my_bound-v1",
    title="Gap without adaptation, from the range of the rewards",
    statement=r"J^* - J(\\phi) \\le R / (1 - \\gamma)",
    source=Source("me", "lemma 1", "derived here"),
    status="conjectured",
    algorithms=("none",),
    steps=None,
    left=gap_phi.symbol,
    bound=R.symbol / (1 - gamma.symbol),
    constants=(gap_phi, R, gamma),
    witness=lambda: Case.new(two_arms(), [[1, 1]], "none"),
    tightness=0.5,
)
'''


SPEC = """name = "small"
seed = 0
theorems = ["no_adaptation", "contraction_kl_posterior"]
cases = 4
chunk = 2
batch = 2

[adaptation]
algorithms = ["none", "kl-posterior"]
lambdas = ["1/10", "random"]
meta_policies = ["uniform"]

[[families]]
kind = "garnet"
states = [2, 3]
actions = 2
branching = 2
gamma = "9/10"

[[families]]
kind = "bandit"
arms = 2
"""


LINEAR = "inexact_linear_quadratic"
FOLDERS = {
    "trained": ("checkpoint.npz", "log.csv", "iterates.f64", "meta_policy.npy"),
    "stepped": ("checkpoint.npz", "log.csv", "iterates.f64"),
    "cheetah": ("checkpoint.npz", "log.csv"),
    "baselines": ("my_bound.json",),
    "accepted": (f"{LINEAR}.json",),
}
"""Folders that commands read, and the files that are kept of them, each named ``FOLDER-FILE``."""


@cache
def valid(directory: Path) -> tuple[str, ...]:
    """One file of every kind that a command reads, in ``directory``; their names."""
    directory.mkdir(parents=True, exist_ok=True)
    family = family_named("garnet:states=4,actions=2,tasks=2", np.random.default_rng(0))
    save_family(family, directory / "family.json")
    save_family(family, directory / "family.npz")
    np.save(directory / "policy.npy", np.full((4, 2), 0.5))
    (directory / "my_bound.py").write_text(BOUND)
    (directory / "small.toml").write_text(SPEC)
    commands = (
        "verify no_adaptation --family family.json --cases 1 --certificates run.jsonl --workers 1",
        "verify no_adaptation --family family.json --cases 1 --record kept.jsonl --workers 1",
        "search no_adaptation --starts 1 --seconds 0.2 -o worst.json",
        "train family.json --iterations 2 -o trained",
        "train family.json --rule ascent --iterations 2 -o stepped",
        "regress my_bound.py --baseline baselines --update --workers 1",
        f"regress --only {LINEAR} --baseline accepted --update --workers 1",
    )
    for command in commands:
        outcome = invoke(shlex.split(command), directory, PATIENCE)
        if outcome.wrong or outcome.code != (1 if "--update" in command else 0):
            raise click.ClickException(f"bomrl {command}: {outcome.wrong or outcome.err}")
    refuted = theorem_named("published_bound")
    (verdict,) = judge(refuted, refuted.witness(), precise=True)
    write_case(refuted.witness(), verdict, directory / "replay.json")
    inexact = theorem_named(LINEAR)
    pinned = next(case for _, case in pinned_corpus().cases() if inexact.covers(case))
    (verdict, _) = judge(inexact, pinned)
    write_case(pinned, verdict, directory / "quadratic.json")
    (directory / "report-report.json").write_text(json.dumps({"schema": REPORT, "files": ["report.html"]}))
    (directory / "report-notes.txt").write_text("no report wrote this, so the folder is never replaced")
    if CONTROL:
        invoke(shlex.split(CONTROL_RUN), directory, PATIENCE)
    for folder, files in FOLDERS.items():
        for file in files if (directory / folder).is_dir() else ():
            shutil.move(directory / folder / file, directory / f"{folder}-{file}")
        shutil.rmtree(directory / folder, ignore_errors=True)
    return tuple(sorted(path.name for path in directory.iterdir() if path.is_file()))


# --- damage --------------------------------------------------------------------------------------

NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 10**9, -(10**400), 0.5, -0.0, 1e308, float("nan"), float("inf"), -float("inf"),
    "", "nan", "1/0", "1/3", "-1", "1e999", "é\u202e\0", "x" * 5000, [], [[]], [1], [[1, 2], [3]], {}, {"P": 1},
    [float("nan")], [None], "9" * 400, [[[[1]]]], "__import__('os').abort()", "../../etc/passwd",
)  # fmt: skip
PLAIN: str = """
-1 0 -0 0.1 1/3 1/0 1e3 1_000 0x10 nan inf -inf 1e999 1e-999 1000000000000000000000 NaN..1 1.. 2..1 ..
. / /dev/null /nonexistent/x -- - --json -h --help * {} [[1]] a=b True none kl-posterior contraction_kl
published_bound-v9 garnet:states=1000000000 garnet:states=0 garnet:gamma=1 garnet:states=x garnet:=
frozen-lake-high:size=-3 gymnasium: gymnasium:NoSuch-v0 gymnasium:CartPole-v1
my_bound.py family.json family.npz policy.npy run.jsonl replay.json worst.json
"""
WORDS: tuple[str, ...] = (
    "",
    "é",
    "\u202e",
    "x" * 3000,
    "\n",
    "\t",
    "'",
    '"',
    "%s%n",
    "$HOME",
    "١",
    "a b",
    *PLAIN.split(),
)
LONG = (
    "--cases",
    "--iterations",
    "--starts",
    "--tasks",
    "--steps",
    "--outer-steps",
    "--trajectories",
    "--workers",
    "--seconds",
    "--horizon",
)
"""Options whose large values mean long but sensible work."""
COUNTS = ("", "-1", "0", "1", "nan", "1.5", "x", "1e3", "-0", "é", "--json")


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut off, drop, repeat, insert."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        place, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 64, 512))
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[min(place, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = data[place : place + length]
        elif kind == 4:
            data[place:place] = rng.randbytes(length)
        else:
            data[place:place] = rng.choice((b"NaN", b"1e999", b"{", b"]", b'"', b"\n", b",", b"\xff\xfe", b"9" * 40))
    return bytes(data)


def damaged_json(document: Any, rng: random.Random) -> Any:
    """One place of a document replaced, dropped, doubled or renamed."""
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                collect(node[key])

    if not isinstance(document, (dict, list)) or not document:
        return rng.choice(NASTY)
    collect(document)
    node, key = rng.choice(places)
    kind = rng.randrange(5)
    if kind <= 1:
        node[key] = rng.choice(NASTY)
    elif kind == 2:
        del node[key]
    elif kind == 3 and isinstance(node, dict):
        node[f"{key}{rng.choice(('', '_', ' ', 'é'))}x"] = node.pop(key)
    else:
        other, place = rng.choice(places)
        with contextlib.suppress(LookupError, TypeError):
            node[key] = json.loads(json.dumps(other[place]))
    return document


def damaged_array(array: np.ndarray[Any, Any], rng: random.Random) -> np.ndarray[Any, Any]:
    """Another shape, type or value."""
    if array.dtype.kind not in "fiu":
        return np.array(rng.choice(("", "x", '{"format": 1}', "[]", str(array)[: rng.randrange(200)])))
    kind = rng.randrange(6)
    if kind == 0:
        return array.reshape(-1)[: rng.randrange(array.size + 1)]
    if kind == 1:
        return array.astype(rng.choice(("float32", "int8", "complex128", "bool", "U8", "S3", "float16", ">f8")))
    if kind == 2:
        return np.zeros(rng.choice(((), (0,), (0, 4, 2, 4), (1,) * 9, (3, 3), (2, 4, 2, 4))))
    if kind == 3:
        return array[None]
    changed = array.astype(np.float64, copy=True).reshape(-1)
    if changed.size:
        changed[rng.randrange(changed.size)] = rng.choice(
            (np.nan, np.inf, -np.inf, -1.0, 0.0, 2.0, 1e308, 1e-308, 5e-324)
        )
    return changed.reshape(array.shape)


def damage(path: Path, rng: random.Random) -> None:
    """Damage a file according to its kind, half of the time without regard to it."""
    content = path.read_bytes()
    if rng.random() < 0.4:
        path.write_bytes(damaged_bytes(content, rng))
    elif path.suffix == ".json":
        path.write_text(json.dumps(damaged_json(json.loads(content), rng)))
    elif path.suffix == ".jsonl":
        lines = content.decode().splitlines()
        place = rng.randrange(len(lines))
        if rng.random() < 0.7:
            lines[place] = json.dumps(damaged_json(json.loads(lines[place]), rng))
        else:
            lines[place:] = rng.sample(lines[place:], rng.randrange(len(lines) - place + 1))
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".npy":
        np.save(path, damaged_array(np.load(path), rng))
    elif path.suffix == ".npz":
        with np.load(path) as archive:
            arrays = dict(archive)
        name = rng.choice(sorted(arrays))
        if rng.random() < 0.2:
            del arrays[name]
        else:
            arrays[name] = damaged_array(arrays[name], rng)
        np.savez(path, **arrays)
    elif path.suffix == ".toml":
        words = path.read_text().split(" ")
        words[rng.randrange(len(words))] = rng.choice(
            ("-1", "0", '"1/0"', "nan", "1e9", "[]", "{}", '"x"', "[[", "true", "=", "1979-05-27", "\n")
        )
        path.write_text(" ".join(words))
    elif path.suffix == ".py":
        words = path.read_text().split(" ")
        words[rng.randrange(len(words))] = rng.choice(
            ("0", "None", "gamma", "(", "R.symbol", '"x"', "-1,", "1/0", "[]", "\n")
        )
        path.write_text(" ".join(words))
    else:
        path.write_bytes(damaged_bytes(content, rng))


# --- commands ------------------------------------------------------------------------------------

CONTROL = all(find_spec(package) for package in ("torch", "mujoco", "gymnasium"))
CONTROL_RUN = "train --control half-cheetah-dir --horizon 3 --tasks 1 --trajectories 2 --iterations 2 -o cheetah"
CAMPAIGN = all(find_spec(package) for package in ("joblib", "pyarrow"))
COMMANDS = (
    (10, "verify no_adaptation --family family.json --cases 1 --workers 1", "family.json"),
    (10, "verify no_adaptation --family family.npz --cases 1 --workers 1", "family.npz"),
    (6, "verify no_adaptation --family family.json --cases 1 --workers 1 --record kept.jsonl --resume", "kept.jsonl"),
    (10, "evaluate family.json --algorithm none --lambda 1 --meta-policy policy.npy", "policy.npy"),
    (10, "check run.jsonl", "run.jsonl"),
    (10, "verify --replay replay.json", "replay.json"),
    (10, "verify --replay quadratic.json", "quadratic.json"),
    (4, "verify my_bound.py --cases 1 --family family.json --workers 1", "my_bound.py"),
    (5, "regress my_bound.py --baseline baselines --workers 1", "baselines/my_bound.json"),
    (2, "regress my_bound.py --baseline baselines --workers 1", "my_bound.py"),
    (5, f"regress --only {LINEAR} --baseline accepted --workers 1", f"accepted/{LINEAR}.json"),
    (3, "report -o report", "report/report.json"),
    (4 * CAMPAIGN, "campaign small.toml -o cases --workers 1", "small.toml"),
    (3, "search no_adaptation --starts 1 --seconds 0.05 --resume worst.json -o worse.json", "worst.json"),
    (6, "train family.json --iterations 2 -o trained --resume", "trained/checkpoint.npz"),
    (3, "train family.json --iterations 2 -o trained --resume", "trained/log.csv"),
    (2, "train family.json --iterations 2 -o trained --resume", "trained/meta_policy.npy"),
    (4, "train family.json --rule ascent --iterations 2 -o stepped --resume", "stepped/iterates.f64"),
    (2, "train family.json --rule ascent --iterations 2 -o stepped --resume", "stepped/checkpoint.npz"),
    (3, "train family.json --iterations 1 --start policy.npy -o new", "policy.npy"),
    (3 * CONTROL, "adapt cheetah --tasks 1 --steps 1", "cheetah/checkpoint.npz"),
    (1 * CONTROL, CONTROL_RUN, ""),
    (2 * CONTROL, f"{CONTROL_RUN} --resume", "cheetah/checkpoint.npz"),
    (1 * CONTROL, f"{CONTROL_RUN} --resume", "cheetah/log.csv"),
    (2, "show no_adaptation", ""),
    (2, "list --topic adaptation", ""),
    (3, "unseen bandit:arms=2 --tasks 3 --algorithm none --lambda 1 --train 2", ""),
    (3, "constants no_adaptation --cases 1", ""),
    (4, "evaluate bandit:arms=2,tasks=2 --algorithm kl-prior --lambda 1/10", ""),
    (4, "train bandit:arms=2,tasks=2 --learner maml --alpha 0.5 --iterations 1 --seed 0 -o new", ""),
    (4, "verify coverage --family bandit:arms=2,tasks=2 --cases 1 --seed 0 --workers 1 --json", ""),
)
"""Weight, command, and the file that is damaged; without one an argument is."""


def attack(rng: random.Random, home: Path, place: Path) -> tuple[str, list[str]]:
    """Prepare ``place``, a new directory, for one input; the command's name and its arguments."""
    weights = [weight for weight, _, _ in COMMANDS]
    _, command, target = rng.choices(COMMANDS, weights)[0]
    arguments = command.split()
    for name in valid(home):
        folder, dash, file = name.partition("-")
        kept = f"{folder}/{file}" if dash else name
        if kept.split("/")[0] in command:
            (place / kept).parent.mkdir(exist_ok=True)
            shutil.copy(home / name, place / kept)
    if target and (rng.random() < 0.85 or arguments[0] == "report"):  # into another folder it would be long work
        damage(place / target, rng)
    else:
        damaged_arguments(arguments, rng)
    return f"{arguments[0] if arguments else ''} {target}".strip(), arguments


def damaged_arguments(arguments: list[str], rng: random.Random) -> None:
    """One argument replaced, dropped, doubled or put elsewhere; never one that asks for more work than a moment's."""
    for _ in range(rng.choice((1, 1, 2))):
        if len(arguments) < 2:
            return
        index = rng.randrange(1, len(arguments))
        before = arguments[index - 1]
        if arguments[index] in LONG or arguments[index] in ("-o", "--family", "--resume"):
            continue  # without it the command would mean a long run
        if before in LONG:
            arguments[index] = rng.choice(COUNTS)
        elif rng.random() < 0.75:
            arguments[index] = rng.choice(WORDS)
        elif rng.random() < 0.5:
            arguments.insert(index, rng.choice(WORDS))
        else:
            arguments[index] = "".join(rng.sample(arguments[index], len(arguments[index])))


# --- one input -----------------------------------------------------------------------------------


class Hang(BaseException):
    """The command did not end in time; nothing in the package may catch this."""


@dataclass
class Outcome:
    """How a command ended: exit code, what it printed, and what was wrong ('' for nothing)."""

    code: int
    out: str
    err: str
    wrong: str


def invoke(arguments: list[str], directory: Path, seconds: float = SECONDS) -> Outcome:
    """Run ``bomrl`` with the arguments in the directory, in this process."""

    def hang(signum: int, frame: Any) -> None:
        raise Hang

    out, err = io.StringIO(), io.StringIO()
    old, argv = os.getcwd(), sys.argv
    os.chdir(directory)
    sys.argv = ["bomrl", *arguments]
    signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    code, wrong = -1, ""
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except Hang:
        wrong = "hang\n" + traceback.format_exc()[-1500:]
    except BaseException:
        wrong = "traceback\n" + traceback.format_exc()[-2500:]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.chdir(old)
        sys.argv = argv
    return Outcome(code, out.getvalue(), err.getvalue(), wrong)


@cache
def undamaged() -> Path:
    """Valid input of every kind, made once in a process."""
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    valid(home)
    return home


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def judged(arguments: list[str], place: Path) -> Outcome:
    """Run an input and say what is wrong about how it ended."""
    before = contents(place)
    outcome = invoke(arguments, place)
    after = contents(place)
    made = {name: content for name, content in after.items() if before.get(name) != content}
    if not outcome.wrong:
        outcome.wrong = "; ".join(_complaints(arguments, outcome, before, after, made))
    return outcome


def _complaints(
    arguments: list[str], outcome: Outcome, before: dict[str, bytes], after: dict[str, bytes], made: dict[str, bytes]
) -> Iterator[str]:
    if outcome.code not in EXIT_CODES:
        yield f"exit code {outcome.code}"
    if "Traceback" in outcome.err or "Warning" in outcome.err:
        yield "a traceback or a warning on stderr"
    if outcome.code == 2 and not outcome.err.strip():
        yield "exit code 2 without a word"
    if outcome.code == 2 and made:
        yield f"refused, and yet wrote {', '.join(made)}"
    if lost := [name for name in before if name not in after]:
        yield f"lost {', '.join(lost)}"
    records = [name for before, name in pairwise(arguments) if before == "--record"]  # of JSON lines, whatever the name
    hidden = [name for name in after if Path(name).name.startswith(".") or name.endswith((".tmp", ".part"))]
    if temporary := [name for name in hidden if name not in records]:
        yield f"left {', '.join(temporary)}"
    for name, content in made.items():
        if name.endswith(".json") and name not in records:
            try:
                json.loads(content)
            except ValueError:
                yield f"{name} is no JSON"
    asked = any(word == "--json" and not before.startswith("-") for before, word in pairwise(arguments))
    if asked and not {"-h", "--help"} & set(arguments) and outcome.code in (0, 1, 3) and outcome.out.strip():
        try:
            json.loads(outcome.out)
        except ValueError:
            yield "--json printed no JSON"


# --- many inputs ---------------------------------------------------------------------------------


def part(name: str, *, seed: int, failures: Path) -> dict[str, Any]:
    """The inputs of one part: counts by command and exit code, the slowest, and what failed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    rng = random.Random(f"{seed}:{name}")
    ended: Counter[str] = Counter()
    slowest, wrong = 0.0, []
    with tempfile.TemporaryDirectory() as scratch:
        home = undamaged()
        for index in range(PART):
            place = Path(scratch) / str(index)
            place.mkdir()
            command, arguments = attack(rng, home, place)
            prepared = Path(scratch) / "prepared"
            shutil.copytree(place, prepared)
            started = time.perf_counter()
            outcome = judged(arguments, place)
            slowest = max(slowest, time.perf_counter() - started)
            ended[f"{command}: {outcome.code}"] += 1
            if outcome.wrong:
                kept = failures / f"{name}-{index}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(prepared, kept)
                (kept / "command.json").write_text(
                    json.dumps({"arguments": arguments, "wrong": outcome.wrong}, indent=1)
                )
                wrong.append({"input": f"{name}-{index}", "arguments": arguments, "wrong": outcome.wrong})
            shutil.rmtree(prepared)
            shutil.rmtree(place)
    return {"ended": dict(ended), "slowest": slowest, "wrong": wrong}


def summary(parts: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    ended: Counter[str] = Counter()
    for found in parts:
        ended.update(found["ended"])
    by_code = Counter(dict.fromkeys(map(str, EXIT_CODES), 0))
    for name, count in ended.items():
        by_code[name.rpartition(": ")[2]] += count
    return {
        "inputs": ended.total(),
        "seed": seed,
        "wrong": [entry for found in parts for entry in found["wrong"]],
        "slowest_seconds": round(max(found["slowest"] for found in parts), 1),
        "by_exit_code": dict(by_code),
        "by_input": dict(sorted(ended.items())),
        "versions": versions(),
    }


@click.command()
@click.option("--inputs", type=click.IntRange(1), default=2000, show_default=True, help="How many, in parts of 250.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("results/fuzz.json"), show_default=True)
def main(inputs: int, seed: int, workers: int, output: Path) -> None:
    """Attack the command line with damaged input; exit code 1 if anything went wrong."""
    failures = output.with_name(output.name + ".failures")
    record = output.with_name(output.name + ".parts.jsonl")
    names = [f"{number:05d}" for number in range(-(-inputs // PART))]
    work: Callable[[str], Any] = partial(part, seed=seed, failures=failures.absolute())
    found = summary(run_parts(record, {"seed": seed, "inputs": inputs}, names, work, workers=workers), seed)
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")
    record.unlink()
    click.echo(f"{found['inputs']} inputs, {len(found['wrong'])} wrong, slowest {found['slowest_seconds']} s")
    for entry in found["wrong"][:20]:
        click.echo(f"  {entry['input']}: bomrl {' '.join(entry['arguments'])}: {entry['wrong'].splitlines()[-1]}")
    sys.exit(1 if found["wrong"] else 0)


if __name__ == "__main__":
    cli.run(main)
