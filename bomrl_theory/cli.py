"""The command line. Results go to stdout, progress and errors to stderr; ``--json`` is for machines.

Exit codes: 0 all as expected (a refuted theorem is expected to be violated), 1 a counterexample or a
drift, 2 a usage or input error, 3 undecided or nothing in scope.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shlex
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bomrl_theory.errors import BomrlError, BrokenPlugin, MissingExtra

if TYPE_CHECKING:  # imports that only annotations need would slow down --help
    from rich.console import Console

    from bomrl_theory.campaign.summary import Tally
    from bomrl_theory.control.evaluate import Line, Trained
    from bomrl_theory.control.train import ControlRun
    from bomrl_theory.exact.solved import Solved
    from bomrl_theory.meta.run_directory import RunDirectory
    from bomrl_theory.meta.train import Training
    from bomrl_theory.numbers import Array
    from bomrl_theory.regress.run import Chosen, Regression
    from bomrl_theory.report.changes import Changes
    from bomrl_theory.theory.case import AnyCase
    from bomrl_theory.theory.theorem import Theorem
    from bomrl_theory.verify.admissible import Admissible
    from bomrl_theory.verify.check import CheckResult
    from bomrl_theory.verify.evaluate import EvaluationReport
    from bomrl_theory.verify.order import Relation
    from bomrl_theory.verify.record import Record
    from bomrl_theory.verify.run import OnVerdicts, Plan, Run
    from bomrl_theory.verify.search import Found, Progress
    from bomrl_theory.verify.unseen import UnseenReport
    from bomrl_theory.verify.verdict import Verdict
    from bomrl_theory.verify.work import Workers

INTERRUPTED = 130
SHOWN_NAME = 120
"""Characters of a file's name in an error that the system found with it."""


def main() -> NoReturn:
    """Entry point of ``bomrl``."""
    run(cli)


def run(command: click.Command) -> NoReturn:
    """Run a command: every error that input can cause is one line on stderr and exit code 2."""
    try:
        with _warnings_in_one_line():
            code = command(standalone_mode=False)  # click turns an exit raised inside into this value
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BomrlError as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone (bomrl list | head): nobody is left to tell
        sys.exit(0)
    except OSError as error:
        if error.filename is None:
            raise
        name = " ".join(str(error.filename).split())
        shown = name if len(name) <= SHOWN_NAME else f"{name[:SHOWN_NAME]}..."
        click.echo(f"error: cannot use {shown}: {error.strerror}; give another name or place", err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """A package whose theorems cannot be used is no reason to stop, and none to be silent."""
    usual = warnings.showwarning

    def show(message: Any, category: Any, *place: Any, **options: Any) -> None:
        if issubclass(category, BrokenPlugin):
            click.echo(f"warning: {message}", err=True)
        else:
            usual(message, category, *place, **options)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


class _Examples(click.Command):
    """A command whose epilog keeps its line breaks, so that examples can be pasted."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            formatter.write_paragraph()
            formatter.write("Examples:\n" + "".join(f"  {line}\n" for line in self.epilog.splitlines()))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="bomrl-theory")
def cli() -> None:
    """Is this bound true, how tight is it, and did my change break it?

    Verifies the optimality-gap bounds of BO-MRL and its neighbours with certified arithmetic.
    Start with: bomrl verify
    """


family_option = click.option(
    "--family",
    "families",
    multiple=True,
    metavar="NAME|FILE",
    help="A family by name (see bomrl list --families) or a family file; repeatable.",
)
cases_option = click.option(
    "--cases",
    type=int,
    help="How many random families to draw (default 200), or with --family, how many random meta-policies for each.",
)
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything drawn.")
workers_option = click.option(
    "--workers",
    type=int,
    help="Processes that share the work (default: one a processor if it is worth it); the result is the same.",
)
device_option = click.option(
    "--device",
    metavar="NAME",
    help="Begin verdicts on a device of torch (cuda, cuda:1, cpu; extra 'torch'); what stays open goes on here.",
)
counterexamples_option = click.option(
    "--counterexamples",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("counterexamples"),
    show_default=True,
    help="Where to save the smallest counterexample of each violated theorem.",
)
record_option = click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.jsonl",
    help="Keep every decided case in a new file, so that a run that was interrupted or killed can go on.",
)
resume_option = click.option(
    "--resume", is_flag=True, help="Go on with the run in --record, which was the same; the result is the same, too."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output on stdout.")


@cli.command(
    cls=_Examples,
    epilog="""bomrl verify contraction_kl_posterior coverage --cases 20
bomrl verify
bomrl verify contraction_kl_posterior coverage --cases 1000 --seed 1
bomrl verify --family frozen-lake-high:size=6,slip=0.1 --json
bomrl verify --family gymnasium:CliffWalking-v1
bomrl verify my_bound.py
bomrl verify --cases 50 --certificates run.jsonl
bomrl verify --cases 1000 --record long.jsonl
bomrl verify --cases 1000 --record long.jsonl --resume
bomrl verify contraction_kl_posterior --family garnet:tasks=100000 --device cuda
bomrl verify --replay counterexamples/published_bound-v1-0123abcd.json""",
)
@click.argument("theorems", nargs=-1, metavar="[THEOREM|FILE.py]...")
@family_option
@cases_option
@seed_option
@json_option
@counterexamples_option
@click.option(
    "--replay",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Decide one saved case again, exactly; without THEOREM its own theorem.",
)
@click.option(
    "--certificates",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.jsonl",
    help="Write every verdict with its exact data to a new file, for bomrl check.",
)
@workers_option
@device_option
@record_option
@resume_option
@click.pass_context
def verify(
    context: click.Context,
    theorems: tuple[str, ...],
    families: tuple[str, ...],
    cases: int | None,
    seed: int,
    as_json: bool,
    counterexamples: Path,
    replay: Path | None,
    certificates: Path | None,
    workers: int | None,
    device: str | None,
    record: Path | None,
    resume: bool,
) -> None:
    """Decide theorems on task families and random cases.

    Without THEOREM all registered ones; without --family Frozen Lake in both settings, two Gymnasium
    environments and random families.

    A run with --record may be interrupted or killed at any time; the same command with --resume goes on, with as many
    --workers as you like, to the same result.

    Exit codes: 0 all as expected (a refuted theorem: violated), 1 a counterexample, 2 usage, 3 undecided or nothing in
    scope, 130 interrupted.
    """
    from bomrl_theory.numbers import computing_on

    context.with_resource(computing_on(device))
    if replay is not None:
        if record is not None or resume:
            raise click.UsageError("--record and --resume are for runs; --replay decides one case")
        _exit(_replay(replay, theorems, as_json, certificates, seed))
    from bomrl_theory.tasks.files import check_directory

    check_directory(counterexamples)
    chosen = _theorems(theorems)
    plan = _plan(chosen, families, cases, seed)
    shared = _workers(theorems, plan, workers)
    with _record(record, chosen, plan, resume) as kept, _certificates(certificates, seed, resume) as on_verdicts:
        run = _run(chosen, plan, shared, on_verdicts, kept)
    saved = _save_counterexamples(run, counterexamples)
    if as_json:
        _print_json(_run_json(run, plan) | {"counterexamples": {k: str(v) for k, v in saved.items()}})
    else:
        own = {theorem.id: name for name, theorem in zip(theorems, chosen, strict=False) if name.endswith(".py")}
        _print_run(run, plan, saved, own)
    if not run.finished:
        _tell_interrupted(context, kept, plan.count + len(chosen))
        _exit(INTERRUPTED)
    _exit(run.exit_code)


@cli.command(
    cls=_Examples,
    epilog="""bomrl campaign --example > campaign.toml
bomrl campaign campaign.toml -o first
bomrl campaign campaign.toml -o first --resume --workers 2
bomrl campaign campaign.toml -o second --backend dask --scheduler tcp://127.0.0.1:8786 --json""",
)
@click.argument("spec", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="SPEC.toml")
@click.option("--example", is_flag=True, help="Print a small SPEC.toml and end.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory to write: cases/ (Parquet), counterexamples/, summary.json.",
)
@click.option("--resume", is_flag=True, help="Go on with the campaign in DIR, which had the same SPEC.toml.")
@click.option("--workers", type=int, help="Processes of this machine (default: one a processor); 1 needs no other.")
@click.option("--backend", metavar="NAME", help="serial, processes (default) or dask; the bytes are the same.")
@click.option("--scheduler", metavar="ADDRESS", help="Of an existing Dask cluster, with --backend dask.")
@device_option
@json_option
@click.pass_context
def campaign(
    context: click.Context,
    spec: Path | None,
    example: bool,
    output: Path | None,
    resume: bool,
    workers: int | None,
    backend: str | None,
    scheduler: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Decide millions of cases: theorems x families x parameters, as SPEC.toml says.

    Every chunk of cases becomes one Parquet file. A campaign may be interrupted or killed at any time; the same command
    with --resume does the rest. However it is run, the same files come of it.

    Exit codes: 0 all as expected, 1 a counterexample (or none for a refuted theorem), 2 usage, 3 undecided or nothing
    in scope, 130 interrupted.
    """
    from bomrl_theory.campaign.spec import EXAMPLE

    if example:
        click.echo(EXAMPLE, nl=False)
        return
    if spec is None or output is None:
        raise click.UsageError("give SPEC.toml and -o DIR; --example prints a SPEC.toml")
    from bomrl_theory.campaign.command import Campaign, done, workers_of
    from bomrl_theory.numbers import computing_on

    context.with_resource(computing_on(device))
    who = workers_of(backend, workers, scheduler)
    begun = Campaign.begin(spec, output, resume=resume)
    try:
        with _progress("campaign", begun.cases, done=begun.cases - begun.open_cases, lines=True) as advance:
            counts: Counter[str] = Counter()

            def told(chunk: Any) -> None:
                counts.update(chunk.counts)
                advance(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()), chunk.chunk.count)

            begun.run(done(begun, *who, scheduler), told)
    except KeyboardInterrupt:
        click.echo(f"interrupted with {begun.open_cases} of {begun.cases} cases to do; go on with:", err=True)
        click.echo(f"  {_resume_command(context)}", err=True)
    tallies, summary = begun.summary()
    if as_json:
        _print_json(summary)
    else:
        _print_campaign(tallies, summary, output, begun.files)
    _exit(summary["exit_code"] if summary["finished"] else INTERRUPTED)


@cli.command(
    cls=_Examples,
    epilog="""bomrl search contraction_kl_posterior --starts 1
bomrl search contraction_kl_posterior
bomrl search published_bound --states 2 --gamma 4/5 --lambda 1/10 -o worst.json
bomrl search my_bound.py --states 3 --seconds 60 --json
bomrl search coverage --resume worst.json --starts 50 -o worst.json""",
)
@click.argument("theorem", metavar="THEOREM|FILE.py")
@click.option("--states", type=int, default=2, show_default=True, help="States of the candidates.")
@click.option("--actions", type=int, default=2, show_default=True, help="Actions of the candidates.")
@click.option("--tasks", type=int, help="Tasks (default: 2 for a theorem about the family, otherwise 1).")
@click.option("--steps", type=int, help="Adaptation steps (default: what the theorem speaks about, or 1).")
@click.option("--gamma", metavar="G", help="Fixed discount, exact: 4/5. By default seven discounts take turns.")
@click.option("--lambda", "lam", metavar="L|LO..HI", help="Fixed lambda or a range (default 1/1000..1000).")
@click.option("--algorithm", metavar="NAME", help="Fixed algorithm; by default all of the theorem's take turns.")
@click.option("--starts", type=int, default=21, show_default=True, help="Independent and restarted populations.")
@click.option("--seconds", type=float, help="Stop searching then; the result depends on the machine.")
@seed_option
@json_option
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="Go on from a saved case.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="Save the case that was found as a file that bomrl verify --replay reads.",
)
def search(
    theorem: str,
    states: int,
    actions: int,
    tasks: int | None,
    steps: int | None,
    gamma: str | None,
    lam: str | None,
    algorithm: str | None,
    starts: int,
    seconds: float | None,
    seed: int,
    as_json: bool,
    resume: Path | None,
    output: Path | None,
) -> None:
    """Search the worst case of a theorem: show that its bound is tight, or break it.

    Maximises left/bound over tasks of the given size. Candidates are compared in floats; what is reported was
    decided with certainty. Ctrl-C ends the search and keeps the best case so far.

    Exit codes: 0 the bound holds on every case certified (a refuted theorem: it was violated), 1 a counterexample,
    or none for a refuted theorem, 2 usage, 3 nothing in scope was found, 130 interrupted.
    """
    from bomrl_theory.adapt.adapt import algorithm_named
    from bomrl_theory.tasks.mdp import exact_discount
    from bomrl_theory.theory.registry import theorem_named
    from bomrl_theory.verify.casefile import load_case, write_case
    from bomrl_theory.verify.search import LAMBDAS, Search, Settings, lambda_range

    chosen = theorem_named(theorem)
    settings = Settings(
        states=states,
        actions=actions,
        tasks=tasks,
        steps=steps,
        gamma=None if gamma is None else exact_discount(gamma),
        lambdas=LAMBDAS if lam is None else lambda_range(lam),
        algorithm=None if algorithm is None else algorithm_named(algorithm).name,
        starts=starts,
        seconds=seconds,
        seed=seed,
    )
    begin = None if resume is None else load_case(resume)[1]
    if output is not None:
        from bomrl_theory.tasks.files import check_directory

        check_directory(output.parent)
    with _search_progress() as on_progress:
        found = Search(chosen, settings, resume=begin, on_progress=on_progress).run()
    if output is not None and found.simple is not None and found.simple_verdict is not None:
        write_case(found.simple, found.simple_verdict, output)
    if as_json:
        _print_json(found.as_json() | {"seed": seed, "saved": None if output is None else str(output)})
    else:
        _print_found(found, output, theorem if theorem.endswith(".py") else None)
    _exit(found.exit_code)


@cli.command(
    cls=_Examples,
    epilog="""bomrl evaluate frozen-lake-high --algorithm kl-posterior --lambda 0.1
bomrl evaluate my_family.npz --meta-policy phi.npy --algorithm euclidean --lambda 1/20 --steps 3
bomrl evaluate gymnasium:Taxi-v4 --algorithm kl-prior --lambda 0.1 --json""",
)
@click.argument("family")
@click.option(
    "--meta-policy",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.npy",
    help="Probabilities [S, A]; by default the barycentre of the optima with 10 % uniform mixed in.",
)
@click.option("--algorithm", required=True, metavar="NAME", help="How each task adapts (see bomrl list --algorithms).")
@click.option("--lambda", "lam", required=True, metavar="L", help="Regularisation, exact: 0.1 or 1/10.")
@click.option("--steps", type=click.IntRange(0, 10_000), default=1, show_default=True, help="Adaptation steps K.")
@seed_option
@json_option
def evaluate(
    family: str, meta_policy: Path | None, algorithm: str, lam: str, steps: int, seed: int, as_json: bool
) -> None:
    """Returns, gaps and every applicable bound for one family and one meta-policy."""
    import numpy as np

    from bomrl_theory.exact.sparse_solved import solved_family
    from bomrl_theory.meta.barycentre import barycentre_of
    from bomrl_theory.tasks.catalogue import family_named
    from bomrl_theory.tasks.files import load_policy
    from bomrl_theory.tasks.policy import check_policy
    from bomrl_theory.theory.case import Case
    from bomrl_theory.theory.registry import registry
    from bomrl_theory.verify.evaluate import evaluate_case

    _check_seed(seed)
    solved = solved_family(family_named(family, np.random.default_rng(np.random.SeedSequence(seed))))
    shape = solved.family.states, solved.family.actions
    if meta_policy is None:
        phi = barycentre_of(solved)
    else:
        phi = check_policy(load_policy(meta_policy), *shape, name=f"the meta-policy in {meta_policy}")
    case = Case.new(solved, phi, algorithm, lam, steps=steps)
    with _progress("evaluating", len(registry()), lines=True) as advance:
        result = evaluate_case(case, _told(registry().values(), advance))
    if as_json:
        _print_json(result.as_json())
    else:
        _print_evaluation(result)


@cli.command(
    "family",
    cls=_Examples,
    epilog="""bomrl family garnet:states=8,tasks=5 --seed 3 -o garnet.json
bomrl family sparse-garnet:states=100000 -o large.npz
bomrl family large.npz --json
bomrl family slippery-grid:side=5 --dense -o small.npz""",
)
@click.argument("family", metavar="NAME|FILE")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.npz|FILE.json",
    help="Save it as a family file, exactly.",
)
@click.option("--dense", is_flag=True, help="Make a sparse family dense, for what works on dense families alone.")
@seed_option
@json_option
def family_(family: str, output: Path | None, dense: bool, seed: int, as_json: bool) -> None:
    """Draw a family, or read one from its file and check it: its sizes, and with -o a file of it.

    The same name and --seed are the same family in every command.
    """
    import numpy as np

    from bomrl_theory.tasks.catalogue import family_named
    from bomrl_theory.tasks.files import check_ending, save_family
    from bomrl_theory.tasks.sparse_family import SparseFamily

    _check_seed(seed)
    if output is not None:
        check_ending(output)
    drawn = family_named(family, np.random.default_rng(np.random.SeedSequence(seed)))
    if dense and isinstance(drawn, SparseFamily):
        drawn = drawn.dense()
    if output is not None:
        save_family(drawn, output)
    if as_json:
        sizes = {name: getattr(drawn, name) for name in ("name", "tasks", "states", "actions")}
        _print_json({**sizes, "gamma": str(drawn.gamma), "sha256": drawn.sha256, "file": output and str(output)})
    else:
        click.echo(repr(drawn))
        if output is not None:
            click.echo(f"wrote {output}")


@cli.command(
    cls=_Examples,
    epilog="""bomrl unseen frozen-lake-high --tasks 200 --algorithm kl-posterior --lambda 0.1
bomrl unseen bandit:arms=3 --tasks 500 --delta 0.01 --algorithm none --lambda 1
bomrl unseen my_family.npz --tasks 100 --meta-policy phi.npy --algorithm euclidean --lambda 1/20 --json""",
)
@click.argument("sampler")
@click.option("--tasks", type=int, default=200, show_default=True, help="How many test tasks are drawn.")
@click.option("--delta", default="0.05", show_default=True, metavar="D", help="Probability of failure that is allowed.")
@click.option(
    "--meta-policy",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.npy",
    help="Probabilities [S, A], made without the test tasks; by default the barycentre of --train other tasks.",
)
@click.option("--train", type=int, default=10, show_default=True, help="Tasks behind the default meta-policy.")
@click.option("--algorithm", required=True, metavar="NAME", help="How each task adapts (see bomrl list --algorithms).")
@click.option("--lambda", "lam", required=True, metavar="L", help="Regularisation, exact: 0.1 or 1/10.")
@click.option("--steps", type=click.IntRange(0, 10_000), default=1, show_default=True, help="Adaptation steps K.")
@seed_option
@json_option
def unseen(
    sampler: str,
    tasks: int,
    delta: str,
    meta_policy: Path | None,
    train: int,
    algorithm: str,
    lam: str,
    steps: int,
    seed: int,
    as_json: bool,
) -> None:
    """Bound the expected gap on unseen tasks, from a sample of tasks.

    SAMPLER is a named family, whose tasks are drawn anew, or a family file, drawn by its weights. The gaps of the
    drawn tasks are exact up to rounding; what follows about the others is statistical and carries its level.
    """
    import numpy as np

    from bomrl_theory.tasks.files import load_policy
    from bomrl_theory.tasks.mdp import exact_number
    from bomrl_theory.tasks.policy import check_policy
    from bomrl_theory.tasks.sampler import sampler_named
    from bomrl_theory.verify.unseen import unseen as bound_unseen

    _check_seed(seed)
    chosen = sampler_named(sampler)
    phi = None
    if meta_policy is not None:
        shape = chosen.draw(1, np.random.default_rng(seed))
        phi = check_policy(
            load_policy(meta_policy), shape.states, shape.actions, name=f"the meta-policy in {meta_policy}"
        )
    result = bound_unseen(
        chosen,
        tasks,
        exact_number("--delta", delta),
        algorithm,
        exact_number("--lambda", lam),
        rng=np.random.default_rng(np.random.SeedSequence(seed)),
        phi=phi,
        train=train,
        steps=steps,
    )
    source = f"barycentre of {train} other tasks" if meta_policy is None else str(meta_policy)
    if as_json:
        _print_json(result.as_json() | {"meta_policy": source, "seed": seed})
    else:
        _print_unseen(result, source, seed)


@cli.command(
    cls=_Examples,
    epilog="""bomrl train frozen-lake-high --learner bo-mrl --algorithm kl-posterior --lambda 1/10 -o trained
bomrl train frozen-lake-low --learner maml --alpha 0.5 --rule line-search -o maml --json
bomrl train garnet --lambda 10 --rule ascent --iterations 50 -o certified
bomrl train garnet --lambda 1 --batch 4 --trajectories 100 --seed 3 -o sampled
bomrl train --control half-cheetah-vel --preset promp --learner bo-mrl --seed 1 -o cheetah --smoke
bomrl train --control half-cheetah-dir --learner maml --iterations 200 --tasks 20 -o maml --resume""",
)
@click.argument("family", required=False)
@click.option(
    "--control",
    metavar="NAME",
    help="Instead of a family: train a network on sampled continuous-control tasks (half-cheetah-vel, ...).",
)
@click.option(
    "--preset", metavar="NAME", help="With --control: rewards and goals of finn2017 or promp (default promp)."
)
@click.option("--learner", default="bo-mrl", show_default=True, metavar="NAME", help="See bomrl list --learners.")
@click.option(
    "--algorithm", metavar="NAME", help="How each task adapts; by default the learner's own, or kl-posterior."
)
@click.option("--lambda", "lam", metavar="L", help="Regularisation, exact: 0.1 or 1/10 (default 1).")
@click.option("--alpha", metavar="A", help="Instead of --lambda: step size of the policy-gradient step.")
@click.option("--method", default="exact", show_default=True, metavar="NAME", help="How bo-mrl gets its hypergradient.")
@click.option(
    "--rule",
    default="adam",
    show_default=True,
    metavar="NAME",
    help="adam, line-search (Armijo), or ascent; without --step ascent takes the certified 1/L.",
)
@click.option("--step", type=float, metavar="X", help="Step size of the rule (adam: 0.1; line-search: first trial 1).")
@click.option("--iterations", type=int, help="Meta-iterations (default 150; with --control 500).")
@click.option("--batch", type=int, metavar="N", help="Tasks drawn for each iteration; by default all, exactly.")
@click.option(
    "--trajectories",
    type=int,
    metavar="N",
    help="Learn from N trajectories a task, drawn each iteration (with --control default 10, before and after).",
)
@click.option("--tasks", type=int, metavar="N", help="With --control: tasks drawn for each iteration (default 20).")
@click.option("--horizon", type=int, metavar="H", help="With --control: steps of a trajectory (default the preset's).")
@click.option(
    "--divergence",
    type=float,
    metavar="X",
    help="With --control: KL in nats that bo-mrl's adaptation aims at, by steering lambda.",
)
@click.option("--smoke", is_flag=True, help="With --control: a small size, where it is not given; about a minute.")
@click.option(
    "--threads",
    type=int,
    metavar="N",
    help="With --control: of torch and the simulator (default 1, and all processors for the simulator).",
)
@click.option("--device", metavar="NAME", help="With --control: where torch computes, cpu (default) or cuda.")
@click.option("--outer-steps", type=int, default=1, show_default=True, help="Steps of the rule on the same data.")
@click.option(
    "--start",
    metavar="NAME|FILE.npy",
    help="Meta-policy to start from: uniform (default), random, barycentre, or probabilities [S, A].",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Directory to write: log.csv, meta_policy.npy, learning_curve.png, checkpoint.npz.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in DIR, which had the same settings.")
@seed_option
@json_option
@click.pass_context
def train(
    context: click.Context,
    family: str | None,
    control: str | None,
    learner: str,
    algorithm: str | None,
    lam: str | None,
    alpha: str | None,
    method: str,
    rule: str,
    step: float | None,
    iterations: int | None,
    batch: int | None,
    trajectories: int | None,
    outer_steps: int,
    start: str | None,
    output: Path,
    resume: bool,
    seed: int,
    as_json: bool,
    **of_control: Any,
) -> None:
    """Train a meta-policy on exact expectations, and log its exact optimality gap.

    With --control instead of FAMILY: train a network on sampled continuous-control tasks, and log the return before
    and after adaptation.

    A run may be interrupted or killed at any time; the same command with --resume goes on to the same result, byte
    by byte. With --rule ascent and no --step the stationarity theorem is decided along the run.

    Exit codes: 0 trained, 1 the run stopped early (the last good meta-policy is kept), 2 usage, 3 the theorem's
    verdict stayed undecided, 130 interrupted.
    """
    import numpy as np

    from bomrl_theory.errors import InvalidTask
    from bomrl_theory.exact.solved import Solved
    from bomrl_theory.meta.run_directory import RunDirectory
    from bomrl_theory.meta.train import Config, Trainer, regularisation
    from bomrl_theory.tasks.catalogue import family_named
    from bomrl_theory.tasks.sparse_family import SparseFamily

    _check_seed(seed)
    _check_kind(context, family, control)
    if control is not None:
        _exit(_train_control(context, control))
    assert family is not None
    iterations = 150 if iterations is None else iterations
    drawn = family_named(family, np.random.default_rng(np.random.SeedSequence(seed)))
    if isinstance(drawn, SparseFamily):
        command = shlex.join(["bomrl", "family", family, "--dense", "--seed", str(seed), "-o", "dense.npz"])
        raise InvalidTask(f"{family} is sparse, and training is on dense families; make it one with '{command}'")
    solved = Solved(drawn)
    config = Config(
        learner=learner,
        algorithm=algorithm,
        lam=regularisation(solved, lam, alpha),
        method=method,
        rule=rule,
        step=step,
        iterations=iterations,
        batch=batch,
        trajectories=trajectories,
        outer_steps=outer_steps,
    )
    trainer = Trainer(solved, config)
    run = RunDirectory(output, trainer, seed=seed, start=_start(solved, start, seed), resume=resume)
    try:
        with _progress("training", iterations + 1, done=run.state.iteration) as advance:
            training = run.run(lambda record: advance(f"gap {record.gap_after:.4g}"))
    except KeyboardInterrupt:
        click.echo(f"interrupted at iteration {run.state.iteration}; go on with:", err=True)
        click.echo(f"  {_resume_command(context)}", err=True)
        _exit(INTERRUPTED)
    picture = _learning_curve(training, output / "learning_curve.png")
    summary = _training_json(run, training, picture, _stationarity(run))
    if as_json:
        _print_json(summary)
    else:
        _print_training(family, summary)
    _exit(summary["exit_code"])


@cli.command(
    cls=_Examples,
    epilog="""bomrl adapt cheetah
bomrl adapt runs/bo-mrl-0 runs/bo-mrl-1 runs/maml-0 runs/maml-1 --tasks 40 --steps 3 --csv table.csv
bomrl adapt cheetah --seed 7 --json
bomrl adapt cheetah --steps 1 --film strip.png --goal 0.5 --goal 2.5""",
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path), metavar="DIR...")
@click.option("--tasks", type=click.IntRange(1), default=40, show_default=True, help="Fresh tasks.")
@click.option("--steps", type=click.IntRange(0), default=3, show_default=True, help="Adaptations, one after the other.")
@click.option("--csv", "table", type=click.Path(dir_okay=False, path_type=Path), help="Also write the lines to a file.")
@click.option(
    "--film",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Instead show one run's robot: .png or .pdf is a strip of pictures, .gif or .webp an animation.",
)
@click.option("--goal", "goals", type=float, multiple=True, help="With --film: m/s, or 1 and -1; repeatable.")
@seed_option
@json_option
def adapt(
    runs: tuple[Path, ...],
    tasks: int,
    steps: int,
    table: Path | None,
    film: Path | None,
    goals: tuple[float, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Adapt what bomrl train --control made to fresh tasks, and measure the return after each adaptation.

    Each adaptation has as many trajectories as in training; returns are of trajectories that nothing was fitted to.
    Runs that differ in their seed only are put together: interquartile mean, with a bootstrap interval over runs; a
    single run has its mean over tasks, with an interval over tasks. All runs meet the same tasks.
    """
    _check_locomotion()
    import numpy as np

    from bomrl_theory.control.command import adapted_json, load_runs
    from bomrl_theory.control.evaluate import measure, summarised

    _check_seed(seed)
    loaded = load_runs(runs)
    if film is not None:
        _film(loaded, film, goals, steps, seed)
        return
    if goals:
        raise click.UsageError("--goal is for --film; measured tasks are drawn")
    with _progress("adapting", len(loaded) * (steps + 1)) as advance:
        measured = [
            measure(run, tasks=tasks, steps=steps, seed=seed, on_step=lambda step, run=run: advance(run.path.name))
            for run in loaded
        ]
    lines = summarised(measured, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5,))))
    if table is not None:
        from bomrl_theory.control.evaluate import write_lines

        write_lines(table, lines)
    if as_json:
        _print_json(adapted_json(measured, lines, seed))
    else:
        _print_adapted(lines)


@cli.command(
    cls=_Examples,
    epilog="""bomrl report
bomrl report -o my_report --seed 3 --cases 500
bomrl report -o quick --family frozen-lake-low
bomrl report --record report.jsonl
bomrl report --record report.jsonl --resume
bomrl report --baseline my_baselines""",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("report"),
    show_default=True,
    help="Directory to write; an earlier report there is replaced, anything else is refused.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Tell what changed since this baseline (default: results/baselines, where it is there).",
)
@family_option
@cases_option
@seed_option
@workers_option
@record_option
@resume_option
@click.pass_context
def report(
    context: click.Context,
    output: Path,
    baseline: Path | None,
    families: tuple[str, ...],
    cases: int | None,
    seed: int,
    workers: int | None,
    record: Path | None,
    resume: bool,
) -> None:
    """Verify, then write the bound-versus-empirical report (HTML, Markdown, LaTeX, PNG, PDF, CSV, JSON).

    With --record the verification may be interrupted or killed at any time; the same command with --resume goes on to
    the same report.
    """
    from bomrl_theory.report.report import check_destination, stages, write_report

    check_destination(output)
    from bomrl_theory.report.frozen_lake import Settings  # needs the packages that were just looked for

    chosen = _theorems(())
    plan = _plan(chosen, families, cases, seed)
    changes = _changes(baseline, workers)
    with _record(record, chosen, plan, resume) as kept:
        run = _run(chosen, plan, _workers((), plan, workers), record=kept)
    if not run.finished:
        _tell_interrupted(context, kept, plan.count + len(chosen))
        _exit(INTERRUPTED)
    command = " ".join(
        ["bomrl report", *(f"--family '{family}'" for family in families)]
        + ([f"--baseline '{baseline}'"] if baseline is not None else [])
        + ([f"--cases {cases}"] if cases is not None else [])
        + [f"--seed {seed}"]
    )
    try:
        with _progress("writing", stages(Settings(seed=seed))) as on_stage:
            page = write_report(run, output, seed=seed, command=command, on_stage=on_stage, changes=changes)
    except KeyboardInterrupt:
        _tell_interrupted(context, kept, plan.count + len(chosen))
        _exit(INTERRUPTED)
    saved = json.loads((output / "report.json").read_text(encoding="utf-8"))["counterexamples"]
    _print_run(run, plan, {theorem: output / name for theorem, name in saved.items()})
    click.echo(f"\nreport: {page}")
    _exit(run.exit_code)


@cli.command(
    cls=_Examples,
    epilog="""bomrl verify --cases 50 --certificates run.jsonl
bomrl check run.jsonl
bomrl check run.jsonl --json""",
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def check(file: Path, as_json: bool) -> None:
    """Re-verify a certificate file independently.

    Every verdict is decided again from the data in FILE alone, in exact and ball arithmetic, by code that
    shares nothing with bomrl verify, and every disagreement is reported.

    Exit codes: 0 all confirmed, 1 a disagreement, 2 the file cannot be read, 3 nothing confirmed, or
    something that could not be checked.
    """
    from bomrl_theory.verify.check import check_file

    with _progress("checking", _line_count(file)) as advance:
        result = check_file(file, on_line=advance)
    if as_json:
        _print_json(_check_json(file, result))
    else:
        _print_check(file, result)
    _exit(result.exit_code)


@cli.command(
    cls=_Examples,
    epilog="""bomrl regress --baseline my_baselines --update
bomrl regress --baseline my_baselines
bomrl regress --baseline my_baselines --only coverage --json
bomrl regress my_bound.py --update""",
)
@click.argument("files", nargs=-1, metavar="[FILE.py]...")
@click.option("--only", multiple=True, metavar="THEOREM", help="Compare this theorem alone; repeatable.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the baseline is, a file a theorem (default: results/baselines; baselines for files of yours).",
)
@click.option("--update", is_flag=True, help="Accept what is different; still exits with 1, and shows it.")
@counterexamples_option
@workers_option
@json_option
def regress(
    files: tuple[str, ...],
    only: tuple[str, ...],
    baseline: Path | None,
    update: bool,
    counterexamples: Path,
    workers: int | None,
    as_json: bool,
) -> None:
    """Did my change break or move a theorem? Compare all of them with their baseline.

    Without FILE the registered theorems; otherwise those that the files define. Each is judged on its own cases and
    on the pinned corpus, and compared: unchanged, reworded, tighter or looser and by how much, violated, of another
    scope, new or gone. A changed claim under the same version fails, and --update does not accept it.

    Exit codes: 0 unchanged, 1 different, 2 usage, 3 a verdict is undecided or nothing is in scope, 130 interrupted.
    """
    from bomrl_theory.regress.run import accept, chosen_theorems
    from bomrl_theory.regress.text import as_json as comparisons_json
    from bomrl_theory.regress.text import lines_of, replay_command, summary
    from bomrl_theory.tasks.files import check_directory
    from bomrl_theory.verify.casefile import save_case

    for name in files:
        if not name.endswith(".py"):
            raise click.BadParameter(f"'{name}' is no file of a theorem; of the registry: --only {name}")
    directory = baseline or (Path("baselines") if files else BASELINE)
    check_directory(counterexamples)
    check_directory(directory)
    chosen = chosen_theorems(files, only, directory, update=update)
    found = _regression(chosen, workers)
    saved = {c.id: save_case(*c.counterexample, counterexamples) for c in found.comparisons if c.counterexample}
    replays = {name: replay_command(path, chosen.file_of(name)) for name, path in saved.items()}
    accepted = accept(found, directory) if update else None
    if as_json:
        _print_json(
            {
                "baseline": str(directory),
                "theorems": comparisons_json(found.comparisons, replays),
                "updated": None if accepted is None else accepted.updated,
                "refused": None if accepted is None else accepted.refused,
                "exit_code": int(found.exit_code),
            }
        )
    else:
        for comparison in found.comparisons:
            for line in lines_of(comparison, replays.get(comparison.id)):
                click.echo(line)
        click.echo(summary(found.comparisons, directory))
        if accepted is not None:
            click.echo(accepted.told(directory))
    _exit(found.exit_code)


@cli.command(
    cls=_Examples,
    epilog="""bomrl constants contraction_kl_posterior
bomrl constants task_variance --cases 200 --seed 1 --json
bomrl constants my_bound.py""",
)
@click.argument("theorem", metavar="THEOREM|FILE.py")
@click.option("--cases", type=click.IntRange(1), default=60, show_default=True, help="Random families in the corpus.")
@seed_option
@json_option
def constants(theorem: str, cases: int, seed: int, as_json: bool) -> None:
    """By how much might a bound's constants be lowered?

    A linear program finds the smallest constants, in the mean of new over derived bound, with which the bound
    still holds on a corpus: the theorem's witness, its probes and random families. They are rounded up and
    every verdict is decided again, certified. This is no theorem: it shows which terms have room for
    improvement, and the binding cases show which have none. Needs the extra lp.
    """
    import numpy as np

    from bomrl_theory.theory.registry import theorem_named
    from bomrl_theory.verify.admissible import admissible
    from bomrl_theory.verify.quadratic_cases import quadratic_cases
    from bomrl_theory.verify.random_cases import random_cases

    _check_seed(seed)
    chosen, seeds = theorem_named(theorem), np.random.SeedSequence(seed)
    tabular = chosen.setting == "tabular"
    found = admissible(chosen, random_cases(seeds, cases, chosen.draws) if tabular else quadratic_cases(seeds, cases))
    if as_json:
        _print_json(_constants_json(found, cases, seed))
    else:
        _print_constants(found, cases, seed)


@cli.command(
    "list",
    cls=_Examples,
    epilog="""bomrl list
bomrl list --topic "surrogate bounds"
bomrl list --order --cases 100
bomrl list --json
bomrl list --families""",
)
@json_option
@click.option(
    "--order",
    is_flag=True,
    help="Instead: which bound is at most which other, proved or searched on --cases random families.",
)
@click.option("--cases", type=click.IntRange(1), default=50, show_default=True, help="Families that --order draws.")
@seed_option
@click.option("--topic", metavar="TOPIC", help="Only this topic; its first letters are enough.")
@click.option("--families", "what", flag_value="families", help="List the task families instead.")
@click.option("--algorithms", "what", flag_value="algorithms", help="List the adaptation algorithms instead.")
@click.option("--learners", "what", flag_value="learners", help="List the meta-learners instead.")
def list_(as_json: bool, order: bool, cases: int, seed: int, topic: str | None, what: str | None) -> None:
    """List the registered theorems by topic, each with its status and how its statement was obtained.

    "judged" is what the package's own large run says: cases in scope and kinds of families; "ratio" is the best
    certified left/bound known. A dash stands where there is none, or the claim has changed since.

    With --order: the partial order of the bounds on the same quantity. "proved" holds on every case;
    "never contradicted" held on every case that was drawn, and is not proved.
    """
    for option, given in (("--topic", topic is not None), ("--order", order)):
        if what is not None and given:
            raise BomrlError(f"{option} is about theorems, not {what}; leave one of the two out")
    if order:
        _check_seed(seed)
        known = _relations(_of_topic(topic), cases, seed)
        if as_json:
            _print_json([_relation_json(relation) for relation in known])
        else:
            _print_order(known, cases, seed)
        return
    if what == "families":
        from bomrl_theory.tasks.catalogue import describe

        rows = [{"name": name, "summary": summary} for name, summary in describe().items()]
    elif what == "algorithms":
        from bomrl_theory.adapt.adapt import algorithms

        rows = [{"name": algorithm.name, "summary": algorithm.summary} for algorithm in algorithms().values()]
    elif what == "learners":
        from bomrl_theory.meta.learner import learners

        rows = [
            {"name": learner.name, "trains on": "finite MDPs", "summary": learner.summary}
            for learner in learners().values()
        ]
        if importlib.util.find_spec("torch") is not None:
            from bomrl_theory.control.learner import learners as control_learners

            rows += [
                {"name": learner.name, "trains on": "--control", "summary": learner.summary}
                for learner in control_learners().values()
            ]
    else:
        theorems = _of_topic(topic)
        if not as_json:
            _print_list(theorems)
            return
        rows = [
            {
                "id": theorem.id,
                "title": theorem.title,
                "topic": theorem.topic,
                "status": theorem.status,
                "source": f"{theorem.source.work}; {theorem.source.place}",
                "obtained": theorem.source.obtained,
                **_known(theorem),
            }
            for theorem in theorems
        ]
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows)


@cli.command(cls=_Examples, epilog="bomrl show task_variance\nbomrl show published_bound-v1 --order")
@click.argument("theorem")
@click.option("--order", is_flag=True, help="Also compare its bound with every comparable one (some seconds).")
@json_option
def show(theorem: str, order: bool, as_json: bool) -> None:
    """Everything about one theorem: statement, source, constants, assumptions, derivations, witness.

    Each derivation is run again by SymPy now; one that fails is shown so.
    """
    import sympy

    from bomrl_theory.formal.backing import backing
    from bomrl_theory.report.notation import claim_latex
    from bomrl_theory.report.plain_text import plain_text
    from bomrl_theory.theory.registry import registry, theorem_named
    from bomrl_theory.theory.theorem import made
    from bomrl_theory.verify.order import dominating
    from bomrl_theory.verify.verdict import judge

    chosen = theorem_named(theorem)
    case = made(chosen.witness, f"{chosen.id}, witness")
    (witness, *_) = judge(chosen, case, precise=True)
    smaller, larger = dominating(chosen, list(registry().values())) if order else ([], [])
    details = {
        "id": chosen.id,
        "title": chosen.title,
        "status": chosen.status,
        "source": f"{chosen.source.work}; {chosen.source.place}",
        "obtained": chosen.source.obtained,
        "topic": chosen.topic,
        "statement": chosen.statement,
        "statement_text": plain_text(chosen.statement),
        "left": str(chosen.left),
        "relation": chosen.relation,
        "bound": str(chosen.bound),
        "claim_text": plain_text(claim_latex(chosen)),
        "bound_latex": sympy.latex(chosen.bound),
        "algorithms": list(chosen.algorithms),
        "scope": chosen.scope,
        "setting": chosen.setting,
        "assumptions": [
            {"name": a.name, "statement": a.statement, "statement_text": plain_text(a.statement), "needed": a.needed}
            for a in chosen.assumptions
        ],
        "derivations": [
            {"claim": d.claim, "claim_text": plain_text(d.claim), "confirmed": d.holds()} for d in chosen.derivations
        ],
        "constants": [{"symbol": c.name, "meaning": c.meaning, "unit": c.unit} for c in chosen.constants],
        "witness": {
            "case": case.describe(),
            "verdict": witness.outcome,
            "left": witness.exact[0],
            "bound": witness.exact[1],
            "ratio": witness.ratio,
        },
        "at_least": [theorem.id for theorem in smaller],
        "at_most": [theorem.id for theorem in larger],
        "proof": chosen.proof,
        "evidence": _evidence(chosen),
        "tightness": _tightness(chosen),
        "backing": asdict(backing(chosen)) | {"summary": backing(chosen).summary},
        "notes": chosen.notes,
    }
    if as_json:
        _print_json(details)
    else:
        _print_theorem(details)


# --- shared by the commands ---------------------------------------------------------------------


def _exit(code: int) -> NoReturn:
    raise click.exceptions.Exit(int(code))


def _theorems(names: tuple[str, ...]) -> list[Theorem]:
    from bomrl_theory.theory.registry import registry, theorem_named

    return [theorem_named(name) for name in names] or list(registry().values())


def _of_topic(topic: str | None) -> list[Theorem]:
    """The registry, or the part of it under the one topic that starts with these letters."""
    from bomrl_theory.errors import UnknownName
    from bomrl_theory.theory.registry import registry

    theorems = list(registry().values())
    if topic is None:
        return theorems
    known = {theorem.topic for theorem in theorems}
    found = {topic} & known or {name for name in known if name.startswith(topic.lower())}
    if len(found) != 1:
        raise UnknownName("topic", topic, known)
    return [theorem for theorem in theorems if theorem.topic in found]


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise click.BadParameter(f"{seed} is negative; seeds are whole numbers from 0", param_hint="--seed")


def _plan(theorems: list[Theorem], families: tuple[str, ...], cases: int | None, seed: int) -> Plan:
    """The plan with its families already loaded, so that bad input is told before any work."""
    from bomrl_theory.verify.run import Plan

    plan = Plan.of(theorems, families, cases, seed)
    _ = plan.named
    return plan


WORTH_SHARING = 10_000
"""Pairs of a theorem and a case: for fewer it takes longer to start processes than to judge."""
THEOREMS_WORTH_SHARING = 20
"""The same on the pinned corpus."""


def _workers(names: Sequence[str], plan: Plan, count: int | None) -> Workers | None:
    """The processes that share a run; None where one process is as good."""
    from bomrl_theory.numbers import device_in_use
    from bomrl_theory.theory.registry import registry
    from bomrl_theory.verify.work import Workers, usable_processors

    names = names or tuple(registry())
    if count is None:  # a device belongs to one process
        worth_it = device_in_use() is None and plan.count * len(names) >= WORTH_SHARING
        count = usable_processors() if worth_it else 1
    workers = Workers(names, count)
    return workers if count > 1 else None


def _regression(chosen: Chosen, workers: int | None) -> Regression:
    """The theorems against their baselines, with progress."""
    from bomrl_theory.regress.corpus import pinned_corpus
    from bomrl_theory.regress.run import regression
    from bomrl_theory.verify.work import Workers, usable_processors

    corpus = pinned_corpus()
    if workers is None:
        workers = usable_processors() if len(chosen.names) >= THEOREMS_WORTH_SHARING else 1
    shared = Workers(chosen.names, workers)
    with _progress("judging", len(corpus.names)) as advance:
        pinned = set(corpus.names)
        return regression(
            chosen,
            corpus,
            workers=shared if shared.count > 1 else None,
            on_case=lambda name: advance(name) if name in pinned else None,
        )


BASELINE = Path("results/baselines")


def _changes(baseline: Path | None, workers: int | None) -> Changes | None:
    """What differs from the baseline; None where nobody named one and the usual place has none."""
    from bomrl_theory.regress.run import chosen_theorems
    from bomrl_theory.regress.text import lines_of
    from bomrl_theory.report.changes import Changes

    if baseline is None and not BASELINE.is_dir():
        return None
    directory = baseline or BASELINE
    found = _regression(chosen_theorems((), (), directory, update=False), workers).comparisons
    different = {comparison.id: tuple(lines_of(comparison)) for comparison in found if comparison.changes}
    return Changes(str(directory), len(found) - len(different), different)


def _run(
    theorems: list[Theorem],
    plan: Plan,
    workers: Workers | None = None,
    on_verdicts: OnVerdicts | None = None,
    record: Record | None = None,
) -> Run:
    from bomrl_theory.verify.run import ignore, verify

    with _progress("verifying", plan.count, lines=True) as advance:
        return verify(
            theorems,
            plan.generate(),
            on_case=lambda case: advance(case.origin),
            on_verdicts=on_verdicts or ignore,
            sparing=True,
            workers=workers,
            record=record,
        )


@contextmanager
def _record(path: Path | None, theorems: list[Theorem], plan: Plan, resume: bool) -> Iterator[Record | None]:
    """What keeps the decided cases; without a path nothing does."""
    if path is None:
        if resume:
            raise click.UsageError("--resume goes on with what --record FILE.jsonl has kept; give both")
        yield None
        return
    from bomrl_theory.verify.record import Record

    with Record(path, plan.fingerprint(theorems), resume=resume) as record:
        yield record


def _tell_interrupted(context: click.Context, record: Record | None, total: int) -> None:
    """How a run that was interrupted goes on."""
    if record is None:
        click.echo("interrupted; with --record FILE.jsonl a run can be resumed where it was", err=True)
        return
    click.echo(f"interrupted; {record.path} keeps {record.kept} of {total} cases; go on with:", err=True)
    click.echo(f"  {_resume_command(context)}", err=True)


@contextmanager
def _certificates(path: Path | None, seed: int, resume: bool = False) -> Iterator[OnVerdicts]:
    """What to tell about verdicts so that they are written to a new file; without a path nothing is."""
    if path is None:
        from bomrl_theory.verify.run import ignore

        yield ignore
        return
    from bomrl_theory.verify.certificate import CertificateWriter

    with CertificateWriter(path, seed=seed, resume=resume) as writer:
        yield writer.write
    if writer.left_out:
        click.echo(f"{path}: without {writer.left_out} verdicts on cases that are sparse or no finite MDPs", err=True)


@contextmanager
def _progress(title: str, total: int, done: int = 0, *, lines: bool = False) -> Iterator[Callable[..., None]]:
    """A bar with rate and time left on stderr; where it is no terminal nothing, or with ``lines`` one now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Finished a second."""

        def render(self, task: Any) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.1f}/s")

    console = Console(stderr=True)
    if lines and not console.is_terminal:
        yield _lines(title, total, done)
        return
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=total, completed=done, now="")
        yield lambda now, by=1: progress.update(bar, advance=by, now=now)


SECONDS_A_LINE = 30.0


def _lines(title: str, total: int, done: int) -> Callable[..., None]:
    """Tell rate and time left on stderr, a line every :data:`SECONDS_A_LINE`."""
    import time

    begin = last = time.monotonic()
    count = 0

    def told(now: str, by: int = 1) -> None:
        nonlocal count, last
        count += by
        time_now = time.monotonic()
        if time_now - last >= SECONDS_A_LINE:
            last = time_now
            rate = count / (time_now - begin)
            left = (total - done - count) / rate
            click.echo(f"{title}: {done + count} of {total}, {rate:.2g}/s, {left / 60:.1f} min left; {now}", err=True)

    return told


def _told(theorems: Iterable[Theorem], advance: Callable[[str], None]) -> Iterator[Theorem]:
    """The theorems, each told once it has been dealt with."""
    for theorem in theorems:
        yield theorem
        advance(theorem.id)


@contextmanager
def _search_progress() -> Iterator[Callable[[Progress], None]]:
    """Best ratios and rate on stderr; nothing where stderr is not a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda progress: None
        return
    with console.status("searching") as status:
        yield lambda progress: status.update(progress.describe())


def _console() -> Console:
    """As wide as the terminal, or as COLUMNS says; wide when piped, so that nothing is cut."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=160)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(*rows[0], box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    _console().print(table)


def _evidence(theorem: Theorem) -> dict[str, Any] | None:
    """What the kept run found about the theorem as it stands; None for a claim that it did not judge."""
    from bomrl_theory.verify.evidence import evidence_of

    found = evidence_of(theorem)
    if found is None:
        return None
    return {
        "cases": found.cases,
        "families": dict(found.families),
        "verdicts": dict(found.verdicts),
        "not_certified": found.uncertified,
    }


def _tightness(theorem: Theorem) -> dict[str, Any] | None:
    """The best certified ratio known of the theorem as it stands; None for a claim that was not searched."""
    from bomrl_theory.verify.tightness import tightness_of

    found = tightness_of(theorem)
    return None if found is None else {"ratio": found.ratio, "from": found.origin, "search": found.searched}


def _cut_off(ratio: float | None) -> str:
    """Six decimals, never rounded up: a ratio just below 1 does not read 1."""
    if ratio is None:
        return "-"
    return f"{ratio:.6g}" if ratio >= 1 else f"{math.floor(ratio * 10**6) / 10**6:.6f}"


def _known(theorem: Theorem) -> dict[str, Any]:
    """The same in three numbers, for lists."""
    evidence, tightness = _evidence(theorem), _tightness(theorem)
    return {
        "cases": None if evidence is None else evidence["cases"],
        "families": None if evidence is None else len(evidence["families"]),
        "best_ratio": None if tightness is None else tightness["ratio"],
    }


def _print_list(theorems: list[Theorem]) -> None:
    """One line for each theorem however narrow the terminal is: only titles are cut."""
    from rich.text import Text

    from bomrl_theory.theory.theorem import by_topic

    console = _console()

    def cells_of(theorem: Theorem) -> tuple[str, ...]:
        known = _known(theorem)
        judged = "-" if known["cases"] is None else f"{known['cases']}/{known['families']}"
        return (theorem.id, theorem.status, judged, _cut_off(known["best_ratio"]), theorem.source.obtained)

    heading = ("theorem", "status", "judged", "ratio", "statement")  # a narrow terminal cuts the last ones
    widths = [max(map(len, column)) for column in zip(heading, *map(cells_of, theorems), strict=True)]
    styles = {"refuted": "red", "conjectured": "yellow"}

    def line_of(cells: tuple[str, ...], styles: tuple[str, ...], title: str) -> Text:
        line = Text("  ")
        for place, (cell, width, style) in enumerate(zip(cells, widths, styles, strict=True)):
            line.append((cell.rjust(width) if place in (2, 3) else cell.ljust(width)) + " ", style)
        return line.append(title)

    console.print(line_of(heading, ("dim",) * len(heading), "title"), overflow="ellipsis", no_wrap=True)
    for topic, members in by_topic(theorems).items():
        console.print(Text(f"{topic} ({len(members)})", style="bold"))
        for theorem in members:
            line = line_of(cells_of(theorem), ("", styles.get(theorem.status, ""), "", "", "dim"), theorem.title)
            console.print(line, overflow="ellipsis", no_wrap=True)
        console.print()
    counts = Counter(theorem.status for theorem in theorems)
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    console.print("judged: cases in scope / kinds of families; ratio: best certified left/bound known", highlight=False)
    console.print(f"{len(theorems)} theorems: {told}; more of one: bomrl show THEOREM", highlight=False)


def _relations(theorems: list[Theorem], cases: int, seed: int) -> list[Relation]:
    """Every comparable pair, judged on the witnesses, the probes and random families."""
    import numpy as np

    from bomrl_theory.verify.order import relations
    from bomrl_theory.verify.quadratic_cases import quadratic_cases
    from bomrl_theory.verify.random_cases import random_cases
    from bomrl_theory.verify.run import draws_of, settings_of, verify

    known = [case for theorem in theorems for case in theorem.known_cases().values()]
    drawn: list[Any] = list(random_cases(np.random.SeedSequence(seed), cases, draws_of(theorems)))
    if "linear-quadratic" in settings_of(theorems):
        drawn += quadratic_cases(np.random.SeedSequence(seed, spawn_key=(2,)), cases)
    with _progress("comparing", cases) as advance:
        seen: set[str] = set()

        def on_case(case: Any) -> None:
            if case.origin not in seen:
                seen.add(case.origin)
                advance(case.origin)

        run = verify(theorems, [*known, *drawn], on_case=on_case)
    return relations(run)


def _relation_json(relation: Relation) -> dict[str, Any]:
    """The stable JSON contract of ``bomrl list --order --json``."""
    against = relation.against
    return {
        "smaller": relation.first.id,
        "larger": relation.second.id,
        "status": relation.status,
        "cases": {"below": relation.below, "above": relation.above, "equal_or_unclear": relation.unclear},
        "refuted_by": None
        if against is None
        else {
            "case": against.case.describe(),
            "task": against.task,
            "smaller": against.smaller,
            "larger": against.larger,
        },
    }


def _print_order(known: list[Relation], cases: int, seed: int) -> None:
    """The Hasse diagram, line by line, and what cannot be ordered."""
    from bomrl_theory.verify.order import covering

    console = _console()
    lines = covering(known)
    equal = {
        (line.first.id, line.second.id)
        for line in lines
        for other in lines
        if line.status == other.status == "proved" and (line.first, line.second) == (other.second, other.first)
    }
    width = max((len(line.first.id) for line in lines), default=0)
    for line in sorted(lines, key=lambda line: (line.status != "proved", line.second.id, line.first.id)):
        if (line.first.id, line.second.id) in equal and line.first.id > line.second.id:
            continue
        sign = "=" if (line.first.id, line.second.id) in equal else "≤"
        how = "proved" if line.status == "proved" else f"not proved; never contradicted, smaller on {line.below} cases"
        if line.first.status == "refuted" or line.second.status == "refuted":
            how += " (one of the two is refuted as a bound)"
        console.print(f"{line.first.id:<{width}} {sign} {line.second.id}: {how}", highlight=False, soft_wrap=True)
    incomparable = [
        (relation, other)
        for index, relation in enumerate(known)
        for other in known[index + 1 :]
        if relation.status == other.status == "refuted"
        and (relation.first, relation.second) == (other.second, other.first)
    ]
    if incomparable:
        console.print("\nNeither is always the smaller one; the smallest case for either side:", highlight=False)
    for relation, other in incomparable[:SHOWN_FINDINGS]:
        console.print(f"{relation.first.id} and {relation.second.id}", highlight=False, soft_wrap=True)
        for one in (other, relation):
            if one.against is not None:
                console.print(
                    f"  {one.second.id} < {one.first.id} on {one.against.describe()}", highlight=False, soft_wrap=True
                )
    if len(incomparable) > SHOWN_FINDINGS:
        console.print(f"... and {len(incomparable) - SHOWN_FINDINGS} more pairs (--json lists them all)")
    console.print(f"{len(known) // 2} comparable pairs; {cases} random families, seed {seed}", highlight=False)


def _constants_json(found: Admissible, cases: int, seed: int) -> dict[str, Any]:
    """The stable JSON contract of ``bomrl constants --json``."""
    from bomrl_theory.report.notation import expression_latex
    from bomrl_theory.report.plain_text import plain_text

    return {
        "id": found.theorem.id,
        "terms": [
            {"term": plain_text(expression_latex(term)), "derived": 1, "admissible": str(c), "value": float(c)}
            for term, c in zip(found.terms, found.constants, strict=True)
        ],
        "mean_of_new_over_derived": found.mean,
        "mean_of_left_over_derived": found.attainable,
        "binding": [{"case": b.describe(), "price": b.price} for b in found.binding],
        "families": cases,
        "seed": seed,
        "cases": found.cases,
        "verdicts": found.verdicts,
        "certified": True,
        "theorem": False,
    }


def _print_constants(found: Admissible, cases: int, seed: int) -> None:
    details = _constants_json(found, cases, seed)
    console = _console()
    console.print(f"[bold]{found.theorem.id}[/]  {found.theorem.title}", highlight=False)
    _print_table([{"derived": 1, "admissible here": f"{t['value']:.6f}", "term": t["term"]} for t in details["terms"]])
    lines = [
        f"mean of new over derived bound {found.mean:.4f}; no constants can go below {found.attainable:.4f}, "
        "the mean of left side over derived bound",
        *(f"binding: {binding.describe()} (price {binding.price:.3g})" for binding in found.binding[:5]),
        f"certified on {found.verdicts} verdicts ({found.cases} cases; {cases} random families, seed {seed}); "
        "no theorem: another case may need more",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _save_counterexamples(run: Run, directory: Path) -> dict[str, Path]:
    from bomrl_theory.verify.casefile import fits_file, save_case

    found = {result.theorem.id: result.counterexample for result in run.results}
    return {
        theorem: save_case(*record, directory) for theorem, record in found.items() if record and fits_file(record[0])
    }


def _run_json(run: Run, plan: Plan) -> dict[str, Any]:
    """The stable JSON contract of ``bomrl verify --json``."""
    return {
        "theorems": [
            {
                "id": result.theorem.id,
                "status": result.theorem.status,
                "verdicts": {str(outcome): count for outcome, count in result.counts.items()},
                "max_ratio": result.max_ratio,
                "informative_share": result.informative_share,
                "not_certified": result.floats_only,
                "decided_by": result.decided_by,
                "as_expected": result.exit_code == 0,
            }
            for result in run.results
        ],
        "cases": plan.drawn,
        "judged": run.judged,
        "seed": plan.seed,
        "finished": run.finished,
        "exit_code": int(run.exit_code),
    }


def _print_run(run: Run, plan: Plan, saved: dict[str, Path], own: Mapping[str, str] = {}) -> None:
    """The table, the counterexamples and the totals; ``own`` has the files of theorems that are not registered."""
    from rich import box
    from rich.table import Table

    from bomrl_theory.verify.verdict import Outcome

    console = _console()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("theorem", overflow="fold")
    for heading in ("holds", "violated", "open", "out of\nscope", "max\nratio", "infor-\nmative", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for result in run.results:
        counts = result.counts
        table.add_row(
            result.theorem.id,
            *(str(counts[o]) for o in (Outcome.HOLDS, Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.OUT_OF_SCOPE)),
            _number(result.max_ratio),
            "-" if result.informative_share is None else f"{result.informative_share:.0%}",
            f"{result.seconds:.1f} s",
            _remark(result),
        )
    console.print(table)
    for result in run.results:
        record = result.counterexample
        if record is None:
            continue
        case, verdict = record
        expected = "refuted, as registered" if result.theorem.status == "refuted" else "BROKEN"
        console.print(f"{result.theorem.id}: {expected}. Smallest counterexample: {case.describe()}", highlight=False)
        _print_case(case, verdict)
        if result.theorem.id in saved:
            click.echo(_replay_command(saved[result.theorem.id], own.get(result.theorem.id)))
        else:
            click.echo("  too large for a case file; the same command meets it again")
    total = sum(len(result.records) for result in run.results)
    floats = sum(result.floats_only for result in run.results)
    certified = "all certified" if not floats else f"{floats} of them float, not certified"
    decided: Counter[str] = sum((Counter(result.decided_by) for result in run.results), Counter())
    shares = ", ".join(f"{name} {count / max(1, decided.total()):.1%}" for name, count in decided.most_common())
    if not run.finished:
        console.print("interrupted: the table holds what was decided until then")
    console.print(f"{total} verdicts on {run.judged} cases, {certified}; seed {plan.seed}", highlight=False)
    console.print(f"decided by: {shares}", highlight=False)


def _print_case(case: AnyCase, verdict: Verdict) -> None:
    """The exact numbers of a case, and both sides."""
    from bomrl_theory.verify.readable import exact_lines

    for line in exact_lines(case):
        click.echo(f"  {line}")
    click.echo(f"  left  = {verdict.left:.12g}  ({verdict.exact[0]})")
    click.echo(f"  bound = {verdict.bound:.12g}  ({verdict.exact[1]})")


def _print_campaign(tallies: Sequence[Tally], summary: dict[str, Any], folder: Path, files: Mapping[str, str]) -> None:
    """The table, where ratios are largest, and how to decide saved cases again; ``files`` of theorems by id."""
    from rich import box
    from rich.table import Table

    from bomrl_theory.verify.verdict import Outcome

    console = _console()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("theorem", overflow="fold")
    for heading in ("holds", "violated", "open", "out of\nscope", "max\nratio", "median\nratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in tallies:
        table.add_row(
            one.theorem.id,
            *(str(one.outcomes[o]) for o in (Outcome.HOLDS, Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.OUT_OF_SCOPE)),
            _number(one.largest),
            _number(one.median),
            _remark(one),
        )
    console.print(table)
    for one, entry in zip(tallies, summary["theorems"], strict=True):
        if one.where:
            place = ", ".join(f"{name} {value}" for name, value in one.where.items() if value is not None)
            console.print(f"{one.theorem.id}: largest ratio {_number(one.largest)} at {place}", highlight=False)
        saved = entry["saved_cases"]
        if saved:
            click.echo(_replay_command(folder / saved[0], files.get(one.theorem.id)))
    done, cases = summary["cases_done"], summary["cases"]
    total = f"{done} of {cases} cases" if not summary["finished"] else f"{cases} cases in {summary['cells']} cells"
    floats = sum(one.floats_only for one in tallies)
    certified = "all certified" if not floats else f"{floats} of them float, not certified"
    console.print(f"{summary['verdicts']} verdicts on {total}, {certified}; seed {summary['seed']}", highlight=False)
    shares = ", ".join(
        f"{name} {count / max(1, summary['verdicts']):.1%}" for name, count in summary["decided_by"].items()
    )
    console.print(f"decided by: {shares}", highlight=False)


def _remark(result: Any) -> str:
    """What stands out about a theorem's row."""
    if result.exit_code == 1:
        return "[bold red]refuted, yet it holds[/]" if result.theorem.status == "refuted" else "[bold red]BROKEN[/]"
    if result.exit_code == 3:
        return "[yellow]nothing in scope[/]" if not result.in_scope else "[yellow]undecided cases[/]"
    if result.floats_only:
        return "[yellow]float, not certified[/]"
    return "[dim]refuted[/]" if result.theorem.status == "refuted" else "[green]ok[/]"


def _number(x: float | None) -> str:
    return "-" if x is None else f"{x:.4g}"


def _replay_command(saved: Path, file: str | None) -> str:
    """How to decide a saved case again; a theorem that is not registered is named by its file."""
    return "  replay: " + shlex.join(["bomrl", "verify", *([file] if file else []), "--replay", str(saved)])


def _print_found(found: Found, output: Path | None, file: str | None) -> None:
    click.echo(found.headline())
    case, verdict = found.simple, found.simple_verdict
    if case is not None and verdict is not None:
        click.echo("smallest counterexample:" if found.violated else "the case, in the simplest numbers found:")
        _print_case(case, verdict)
        if output is not None:
            click.echo(_replay_command(output, file))
    for line in found.remarks():
        click.echo(line)


def _print_evaluation(result: EvaluationReport) -> None:
    from rich import box
    from rich.table import Table

    console = _console()
    case = result.case
    console.print(f"{case.family!r}", highlight=False)
    how = case.algorithm.name if case.algorithm.name == "none" else f"{case.algorithm.name}, lambda = {case.lam}"
    kind = "certified" if result.certified else "float, not certified"
    console.print(f"{how}, {case.steps} step(s), inner problem {result.status}; {kind}", highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("task", "J*", "J(phi)", "J(adapted)", "gap"):
        table.add_column(heading, justify="right")
    rows = [(str(index), returns) for index, returns in enumerate(result.tasks)]
    for label, returns in [*rows, ("expected", result.expected)]:
        if label == "expected":
            table.add_section()
        values = (returns.J_star, returns.J_meta, returns.J_adapted, returns.gap)
        table.add_row(label, *(f"{value:.6g}" for value in values))
    console.print(table)
    bounds = Table(box=box.SIMPLE_HEAD)
    bounds.add_column("bound on the expected gap")
    bounds.add_column("value", justify="right")
    for heading in ("verdict", "grade", ""):
        bounds.add_column(heading)
    for bound in result.bounds:
        verdict = bound.verdict
        note = verdict.reason or ("bounds the gap without adaptation" if bound.theorem.algorithms == ("none",) else "")
        outcome = str(verdict.outcome) + ("" if verdict.certified else " (float, not certified)")
        value = "-" if verdict.bound != verdict.bound else f"{verdict.bound:.6g}"  # NaN where out of scope
        bounds.add_row(verdict.theorem, value, outcome, str(verdict.grade or "-"), note)
    console.print(bounds)


def _print_unseen(result: UnseenReport, source: str, seed: int) -> None:
    """The level stands beside the bound, and no word suggests more."""
    from bomrl_theory.verify.unseen import STATUS

    case, n = result.case, len(result.gaps)
    how = case.algorithm.name if case.algorithm.name == "none" else f"{case.algorithm.name}, lambda = {case.lam}"
    kind = "each gap enclosed" if result.enclosed else "gaps in floats, not enclosed"
    lines = [
        f"{result.sampler.name}: {n} tasks drawn, {how}, {case.steps} step(s); {kind}; seed {seed}",
        f"meta-policy: {source}",
        f"{STATUS}: with probability at least {float(result.level):g} over the draw, the expected gap of the "
        f"distribution is at most {result.bound:.6g}",
        f"  mean gap {result.mean:.6g}, standard deviation {result.deviation:.6g}, largest possible gap "
        f"{result.largest:.6g}",
    ]
    if result.vacuous:
        lines.append("  no policy can have a larger gap than that: draw more tasks")
    for line in lines:
        click.echo(line)


OF_EXACT = ("method", "rule", "step", "batch", "outer_steps", "start")
OF_CONTROL = ("preset", "tasks", "horizon", "divergence", "smoke", "threads", "device")
"""Options of ``bomrl train`` that only one of its two kinds of training has."""


def _check_kind(context: click.Context, family: str | None, control: str | None) -> None:
    """Either a family or --control, and no option of the other one."""
    if (family is None) == (control is None):
        raise click.UsageError(
            "name what to train on: either a FAMILY, or --control NAME for continuous control"
            if family is None
            else f"'{family}' is a family and --control {control} names other tasks; leave one of the two out"
        )
    foreign, kind = (OF_CONTROL, "--control") if control is None else (OF_EXACT, "a FAMILY")
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and parameter.name in foreign:
            raise click.UsageError(f"{parameter.opts[-1]} is an option of training with {kind}; leave it out")


def _check_locomotion() -> None:
    """Without torch, name at once the extra that brings it and the simulator; without the simulator alone, that does.

    Raises:
        MissingExtra: torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtra("torch", "mujoco")


def _train_control(context: click.Context, name: str) -> int:
    """``bomrl train --control``; the exit code."""
    _check_locomotion()
    from bomrl_theory.control.command import trainer_of, training_json
    from bomrl_theory.control.train import ControlRun
    from bomrl_theory.tasks.mdp import exact_number

    given, output = context.params, context.params["output"]
    names = ("preset", "horizon", "learner", "algorithm", "iterations", "tasks", "trajectories", "divergence")
    options = {option: given[option] for option in (*names, "threads", "device")}
    for option in ("lam", "alpha"):
        if given[option] is not None:
            options[option] = float(exact_number({"lam": "--lambda"}.get(option, f"--{option}"), given[option]))
    trainer = trainer_of(name, options, smoke=given["smoke"])
    run = ControlRun(output, trainer, seed=given["seed"], resume=given["resume"])
    try:
        with _progress("training", trainer.iterations, done=run.state.iteration) as advance:
            run.go_on(lambda record: advance(f"return {record.return_before:.4g} -> {record.return_after:.4g}"))
    except KeyboardInterrupt:
        click.echo(f"interrupted at iteration {run.state.iteration}; go on with:", err=True)
        click.echo(f"  {_resume_command(context)}", err=True)
        return INTERRUPTED
    summary = training_json(run, _control_curve(run, output / "learning_curve.png"))
    if given["as_json"]:
        _print_json(summary)
    else:
        _print_control(summary)
    return summary["exit_code"]


def _control_curve(run: ControlRun, path: Path) -> Path | None:
    """The picture's path; None without Matplotlib."""
    if not _can_draw():
        return None
    from bomrl_theory.report.learning_curve import draw_returns

    config = run.trainer.config
    draw_returns(run.log(), f"{run.trainer.learner.label}, {config.algorithm}", path)
    return path


def _print_control(summary: dict[str, Any]) -> None:
    config, first, last = (summary[key] for key in ("config", "first", "last"))
    click.echo(f"{config['learner']} on {summary['simulator']}, {config['algorithm']}")
    steps = f"{summary['environment_steps']:,} environment steps"
    click.echo(f"{summary['status']} after {summary['iterations']} iterations, {steps}")
    for name, label in (("return_before", "return before adaptation"), ("return_after", "return after adaptation")):
        click.echo(f"  {label:<24} {_maybe(first[name])} -> {_maybe(last[name])}")
    click.echo("wrote " + ", ".join(name for name in summary["files"].values() if name))
    if not summary["exit_code"]:
        click.echo("evaluate: " + shlex.join(["bomrl", "adapt", str(Path(summary["files"]["log"]).parent)]))


def _maybe(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.6g}"


def _film(runs: Sequence[Trained], path: Path, goals: tuple[float, ...], steps: int, seed: int) -> None:
    """Write a picture strip or an animation of one run."""
    from bomrl_theory.control.locomotion.watch import filmed
    from bomrl_theory.report.film import draw_film_strip, save_animation

    if len(runs) != 1:
        raise click.UsageError(f"--film shows one run; {len(runs)} are given")
    if path.suffix not in (".png", ".pdf", ".gif", ".webp"):
        raise click.UsageError(f"--film {path}: end in .png or .pdf for a strip, .gif or .webp for an animation")
    (run,) = runs
    made = filmed(run, goals, steps=steps, seed=seed)
    if path.suffix in (".gif", ".webp"):
        save_animation(made, path)
    else:
        times = "not adapted" if not steps else f"adapted {steps} time{'s' if steps > 1 else ''}"
        draw_film_strip(made, path, title=f"{made.name}, {run.problem.config.learner}, {times}")
    click.echo(f"film: {path}")


def _print_adapted(lines: Sequence[Line]) -> None:
    """A table for each group of runs, a row an adaptation; narrow enough for any terminal."""
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        key = (line.simulator, line.learner, line.algorithm, line.runs, line.environment_steps, line.resampled)
        groups.setdefault(key, []).append(line)
    for (simulator, learner, algorithm, runs, steps, resampled), members in groups.items():
        how = f"adapts by {algorithm}, {runs} run{'s' if runs > 1 else ''} of {steps:,} steps"
        click.echo(f"\n{learner} on {simulator}\n  {how}; 95 % intervals over {resampled}")
        for line in members:
            interval = f"[{line.low:.4g}, {line.high:.4g}]"
            click.echo(f"  after {line.adaptations}: {line.value:>8.4g}  {interval}")


def _start(solved: Solved, name: str | None, seed: int) -> Array | None:
    """Logits of the meta-policy that ``--start`` names; None for the learner's own start."""
    import numpy as np

    from bomrl_theory.errors import UnknownName
    from bomrl_theory.meta.learner import learners
    from bomrl_theory.tasks.files import load_policy
    from bomrl_theory.tasks.policy import check_policy

    starts = {learner.name: learner.start for learner in learners().values() if learner.start is not None}
    if name is None or name == "uniform":
        return None
    if name in starts:
        return starts[name](solved, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,))))
    if not name.endswith(".npy"):
        raise UnknownName("start", name, ["uniform", *starts, "FILE.npy"])
    shape = solved.family.states, solved.family.actions
    return np.log(check_policy(load_policy(name), *shape, name=f"the meta-policy in {name}"))


def _resume_command(context: click.Context) -> str:
    """The command as it was given, with ``--resume``."""
    arguments: list[str] = []
    options: list[str] = []
    for parameter in context.command.params:
        value = context.params[parameter.name or ""]
        source = context.get_parameter_source(parameter.name or "")
        if source is not click.core.ParameterSource.COMMANDLINE or parameter.name == "resume":
            continue
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(parameter, click.Argument):
            arguments += map(str, values)
        else:
            name = parameter.opts[-1]
            options += [name] if value is True else [text for each in values for text in (name, str(each))]
    return shlex.join(["bomrl", context.info_name or "", *arguments, *options, "--resume"])


def _can_draw() -> bool:
    """Whether there is Matplotlib; if not, what is missing is told."""
    from importlib.util import find_spec

    found = find_spec("matplotlib") is not None
    if not found:
        click.echo("no learning curve: python -m pip install 'bomrl-theory[report]'", err=True)
    return found


def _learning_curve(training: Training, path: Path) -> Path | None:
    """The picture's path; None without Matplotlib."""
    if not _can_draw():
        return None
    from bomrl_theory.report.learning_curve import draw_learning_curve

    draw_learning_curve(training, path)
    return path


def _stationarity(run: RunDirectory) -> Verdict | None:
    """The stationarity theorem's verdict along the run; None where it says nothing of it."""
    from bomrl_theory.verify.along_run import stationarity

    config, iterates = run.trainer.config, run.iterates()
    spoken_of = run.trainer.certified and (config.learner, config.algorithm) == ("bo-mrl", "kl-posterior")
    return stationarity(run.trainer.solved, iterates, config.lam) if spoken_of and len(iterates) else None


def _training_json(
    run: RunDirectory, training: Training, picture: Path | None, verdict: Verdict | None
) -> dict[str, Any]:
    """The stable JSON contract of ``bomrl train --json``."""
    from bomrl_theory.meta.run_directory import LOG, POLICY
    from bomrl_theory.verify.verdict import Outcome

    config, first, last = training.config, training.log[0], training.log[-1]
    if training.status.startswith("stopped") or (verdict is not None and verdict.outcome is Outcome.VIOLATED):
        exit_code = 1
    else:
        exit_code = 0 if verdict is None or (verdict.outcome is Outcome.HOLDS and verdict.certified) else 3
    return {
        "family": run.trainer.solved.family.name,
        "config": config.as_json(),
        "seed": run.settings["seed"],
        "status": training.status,
        "iterations": last.iteration,
        "first": {"F": first.F, "gap_before": first.gap_before, "gap_after": first.gap_after},
        "last": {"F": last.F, "gap_before": last.gap_before, "gap_after": last.gap_after},
        "certified_step": first.step if run.trainer.certified else None,
        "stationarity": None
        if verdict is None
        else {
            "id": verdict.theorem,
            "verdict": verdict.outcome,
            "certified": verdict.certified,
            "left": verdict.left,
            "bound": verdict.bound,
            "steps": sum(record.status.startswith("stepped") for record in training.log),
        },
        "files": {
            "log": str(run.path / LOG),
            "meta_policy": str(run.path / POLICY),
            "learning_curve": None if picture is None else str(picture),
        },
        "exit_code": exit_code,
    }


def _print_training(family: str, summary: dict[str, Any]) -> None:
    config, first, last = (summary[key] for key in ("config", "first", "last"))
    how = "" if config["algorithm"] == "none" else f", lambda = {config['lam']}"
    click.echo(f"{config['learner']} on {family}, {config['algorithm']}{how}, rule {config['rule']}")
    click.echo(f"{summary['status']} after {summary['iterations']} iterations")
    for name, label in (("gap_before", "gap before adaptation"), ("gap_after", "gap after adaptation")):
        click.echo(f"  {label:<22} {first[name]:.6g} -> {last[name]:.6g}")
    if summary["certified_step"] is not None:
        click.echo(f"  certified step 1/L     {summary['certified_step']:.6g}")
    verdict = summary["stationarity"]
    if verdict is not None:
        how = "certified" if verdict["certified"] else "float, not certified"
        click.echo(f"{verdict['id']} along the run's {verdict['steps']} steps: {verdict['verdict']}, {how}")
        click.echo(f"  sum |grad F|^2 = {verdict['left']:.6g} <= 2 L_F E[J* - J(Alg(phi_0))] = {verdict['bound']:.6g}")
    click.echo("wrote " + ", ".join(name for name in summary["files"].values() if name))
    options = ["--algorithm", config["algorithm"], "--lambda", config["lam"], "--seed", str(summary["seed"])]
    policy = summary["files"]["meta_policy"]
    click.echo("evaluate: " + shlex.join(["bomrl", "evaluate", family, "--meta-policy", policy, *options]))


def _replay(path: Path, names: tuple[str, ...], as_json: bool, certificates: Path | None, seed: int) -> int:
    """Decide a saved case again; as in a run, a refuted theorem is expected to be violated."""
    from bomrl_theory.theory.registry import theorem_named
    from bomrl_theory.verify.casefile import load_case
    from bomrl_theory.verify.run import Run, TheoremResult

    recorded, case = load_case(path)
    theorems = [theorem_named(name) for name in names or (recorded,)]
    run = Run([TheoremResult(theorem) for theorem in theorems])
    with _certificates(certificates, seed) as on_verdicts:
        run.judge(case, run.results, on_verdicts, precise=True)
    verdicts = [verdict for result in run.results for verdict in result.verdicts]
    if as_json:
        _print_json(
            {
                "case": case.describe(),
                "verdicts": [
                    {
                        "id": verdict.theorem,
                        "task": verdict.task,
                        "verdict": verdict.outcome,
                        "left": verdict.exact[0],
                        "bound": verdict.exact[1],
                        "grade": verdict.grade,
                        "numbers": verdict.numbers,
                        "certified": verdict.certified,
                        "reason": verdict.reason,
                    }
                    for verdict in verdicts
                ],
                "exit_code": int(run.exit_code),
            }
        )
        return run.exit_code
    click.echo(f"{path}: {case.describe()}")
    for verdict in verdicts:
        where = "" if verdict.task is None else f" on task {verdict.task}"
        click.echo(f"{verdict.theorem}{where}: {verdict.outcome} {verdict.reason}".rstrip())
        if verdict.exact[0]:
            click.echo(f"  left  = {verdict.left:.12g}  ({verdict.exact[0]})")
            click.echo(f"  bound = {verdict.bound:.12g}  ({verdict.exact[1]})")
            click.echo(f"  decided in {verdict.numbers}")
    return run.exit_code


def _line_count(path: Path) -> int:
    """For the progress bar; a file that cannot be read is told by who reads it."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0


def _check_json(path: Path, result: CheckResult) -> dict[str, Any]:
    """The stable JSON contract of ``bomrl check --json``."""
    statuses = ("confirmed", "disagreement", "unchecked", "undecided")
    return {
        "file": str(path),
        "theorems": [
            {"id": theorem, **{status: counter[status] for status in statuses}}
            for theorem, counter in result.counts.items()
        ],
        **{status: result.count(status) for status in (*statuses, "unreadable")},
        "findings": [
            {"line": f.line, "kind": f.kind, "theorem": f.theorem, "task": f.task, "reason": f.reason}
            for f in result.findings
        ],
        "exit_code": result.exit_code,
    }


SHOWN_FINDINGS = 20
"""Findings of one kind that are listed; ``--json`` has them all."""


def _print_check(path: Path, result: CheckResult) -> None:
    from rich import box
    from rich.table import Table

    console = _console()
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("theorem")
    for heading in ("confirmed", "disagree", "unchecked", "undecided"):
        table.add_column(heading, justify="right")
    for theorem, counter in sorted(result.counts.items()):
        statuses = ("confirmed", "disagreement", "unchecked", "undecided")
        style = "bold red" if counter["disagreement"] else None
        table.add_row(theorem, *(str(counter[status]) for status in statuses), style=style)
    console.print(table)
    for kind in ("disagreement", "unreadable", "undecided", "unchecked"):
        found = [finding for finding in result.findings if finding.kind == kind]
        label = "DISAGREEMENT" if kind == "disagreement" else kind
        for finding in found[:SHOWN_FINDINGS]:
            about = "" if finding.theorem is None else f" {finding.theorem}"
            about += "" if finding.task is None else f" on task {finding.task}"
            click.echo(f"line {finding.line}: {label}{about}: {finding.reason}")
        if len(found) > SHOWN_FINDINGS:
            click.echo(f"... and {len(found) - SHOWN_FINDINGS} more {kind} (--json lists them all)")
    verdicts = sum(sum(counter.values()) for counter in result.counts.values())
    ending = "; the file holds no verdict" if not verdicts else ""
    console.print(
        f"{path}: {result.count('confirmed')} of {verdicts} verdicts confirmed independently, "
        f"{result.count('disagreement')} disagreements{ending}",
        highlight=False,
        soft_wrap=True,
    )


def _print_theorem(details: dict[str, Any]) -> None:
    console = _console()

    def line(label: str, text: Any) -> None:
        if text:
            console.print(f"[bold]{label:<12}[/]", end="", highlight=False)
            console.out(str(text), highlight=False)

    console.print(f"[bold]{details['id']}[/]  {details['title']}", highlight=False)
    line("status", details["status"])
    line("source", f"{details['source']} ({details['obtained']})")
    line("topic", details["topic"])
    line("states", details["statement_text"])
    line("evaluates", details["claim_text"])
    line("about", f"each {details['scope']}; {', '.join(details['algorithms'])}; {details['setting']} tasks")
    for assumption in details["assumptions"]:
        known = "" if assumption["needed"] else " (no case is known where it matters)"
        line("assumes", f"{assumption['name']}: {assumption['statement_text']}{known}")
    for index, derivation in enumerate(details["derivations"]):
        mark = "✓" if derivation["confirmed"] else "✗ NOT CONFIRMED:"
        line("derived" if not index else "", f"{mark} {derivation['claim_text']}")
    if details["derivations"]:
        confirmed = sum(derivation["confirmed"] for derivation in details["derivations"])
        line("", f"{confirmed} of {len(details['derivations'])} steps confirmed by SymPy just now")
    witness = details["witness"]
    line("witness", f"{witness['case']}: {witness['verdict']}, left/bound = {witness['ratio']}")
    line("", f"left = {witness['left']}, bound = {witness['bound']}")
    if evidence := details["evidence"]:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in evidence["verdicts"].items())
        kinds = ", ".join(evidence["families"])
        kind = "all certified" if not evidence["not_certified"] else f"{evidence['not_certified']} float, not certified"
        line("judged on", f"{evidence['cases']} cases in scope: {counts}, {kind}; families: {kinds}")
    if tightness := details["tightness"]:
        alone = "" if tightness["search"] is None else f"; the search by itself found {tightness['search']}"
        line("best known", f"left/bound = {tightness['ratio']}, from the {tightness['from']}, certified{alone}")
    equal = [other for other in details["at_least"] if other in details["at_most"]]
    for label, others in (
        ("equals", equal),
        ("dominated", [other for other in details["at_least"] if other not in equal]),
        ("dominates", [other for other in details["at_most"] if other not in equal]),
    ):
        how = {"equals": "equals", "dominated": "is never below", "dominates": "is never above"}[label]
        if others:
            line(label, f"this bound {how} that of {', '.join(others)} where both apply (proved symbolically)")
    line("proof", details["proof"])
    line("backed by", details["backing"]["summary"])
    line("notes", details["notes"])
    _print_table(details["constants"])
