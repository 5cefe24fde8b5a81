"""Worst-case search: the case with the largest left/bound, to show that a bound is tight or to break it.

Differential evolution in plain floats proposes, over populations measured at once (:mod:`population`), from many
starts; each start's best candidate is then decided as the exact numbers it is. Only such certified ratios are ever
reported. The best case is made readable at the end: the simplest numbers whose certified ratio is all but the same, or
for a violated bound its smallest counterexample.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.mdp import exact_discount, exact_number
from bomrl_theory.theory.case import LARGEST_LAMBDA, SMALLEST_LAMBDA, AnyCase, Case
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.population import Population, Screen, Sides
from bomrl_theory.verify.ratio import certified_ratio, float_ratio
from bomrl_theory.verify.readable import exact_mapping
from bomrl_theory.verify.shrink import shrunk, verdicts_on, violation
from bomrl_theory.verify.space import Space
from bomrl_theory.verify.verdict import Outcome, Verdict

DISCOUNTS = tuple(Fraction(n, d) for n, d in ((9, 10), (1, 2), (99, 100), (4, 5), (999, 1000), (1, 10), (1, 5)))
"""Discounts of the starts, in turn."""
LAMBDAS = (Fraction(1, 1000), Fraction(1000))
LARGEST_DIMENSION = 2000
NOISE = 1e-9
"""In units of the returns' size: sides below it are taken for rounding errors."""
CANDIDATES_A_DIMENSION = 8
ROUNDED = ("P", "r", "rho", "phi")
SMALLEST_POPULATION, LARGEST_POPULATION = 64, 1024
CLOSE = 1e-9
"""A ratio this close to 1 may be given up for simpler numbers; otherwise two per cent of the distance to 1."""
WELL_SERVED = 5
"""Under a time limit a start may take this share of what is left: few starts that converge beat many that do not."""


@dataclass(frozen=True)
class Settings:
    """What to search.

    Attributes:
        states, actions, tasks: sizes of the candidates; two tasks where the theorem is about the family, else one.
        steps: adaptation steps; by default what the theorem speaks about, or one.
        gamma: fixed discount; otherwise the starts take :data:`DISCOUNTS` in turn.
        lambdas: range of lambda, both ends included. Rewards vary over ten decades in any case.
        algorithm: fixed; otherwise the theorem's algorithms take turns.
        starts: how many independent or restarted runs.
        generations: of each start at most.
        seconds: stop then, whatever has been done; None for no limit. Results then depend on the machine's speed.
        seed: of everything drawn.
        variants: judged at most to make the best case readable; 0 leaves it as it was found.
    """

    states: int = 2
    actions: int = 2
    tasks: int | None = None
    steps: int | None = None
    gamma: Fraction | None = None
    lambdas: tuple[Fraction, Fraction] = LAMBDAS
    algorithm: str | None = None
    starts: int = 21
    generations: int = 600
    seconds: float | None = None
    seed: int = 0
    variants: int = 1500

    def __post_init__(self) -> None:
        for name in ("states", "actions", "tasks", "steps", "starts", "generations"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidTask(f"--{name} {value}: it must be at least 1")
        if self.seed < 0:
            raise InvalidTask(f"--seed {self.seed}: seeds are whole numbers from 0")
        if self.seconds is not None and not self.seconds > 0:
            raise InvalidTask(f"--seconds {self.seconds:g}: give a positive number of seconds")
        if self.gamma is not None:
            exact_discount(self.gamma)
        low, high = self.lambdas
        if not SMALLEST_LAMBDA <= low <= high <= LARGEST_LAMBDA:
            raise InvalidTask(
                f"--lambda {low}..{high}: give a positive range from 1e-300 to 1e300, the smaller end first"
            )


def lambda_range(text: str) -> tuple[Fraction, Fraction]:
    """``1/10`` is a fixed lambda, ``1/100..10`` a range.

    Raises:
        InvalidTask: not one or two numbers.
    """
    low, dots, high = text.partition("..")
    first = exact_number("--lambda", low)
    return first, exact_number("--lambda", high) if dots else first


@dataclass
class Progress:
    """How far a search is; the same object is updated and handed out again.

    Attributes:
        start: the current start, from 1.
        starts: how many there are.
        candidates: evaluated in floats so far.
        seconds: since the beginning.
        ratio: best certified ratio so far, None before the first.
        screened: best ratio of the current start, in floats and not certified.
    """

    start: int = 0
    starts: int = 0
    candidates: int = 0
    seconds: float = 0.0
    ratio: float | None = None
    screened: float | None = None

    def describe(self) -> str:
        """One line for a terminal."""
        best = "none in scope yet" if self.ratio is None else f"{self.ratio:.8g}"
        now = "" if self.screened is None else f", this start {max(self.screened, 0):.6g} (float)"
        rate = self.candidates / self.seconds if self.seconds else 0
        return f"start {self.start}/{self.starts}: best certified ratio {best}{now}; {rate:,.0f} candidates/s"


@dataclass
class Found:
    """What a search came to.

    Attributes:
        theorem: what was searched.
        case, verdict, ratio: the best case as the search found it, its precise verdict, and the certified ratio;
            None where no candidate was in scope.
        simple, simple_verdict, simple_ratio: the case to read and to keep: the smallest counterexample of a violated
            bound, otherwise nearly the same ratio with the simplest numbers.
        progress: what was done.
        finished: False after an interrupt or at the time limit.
        interrupted: ctrl-C.
    """

    theorem: Theorem
    case: Case | None = None
    verdict: Verdict | None = None
    ratio: float | None = None
    simple: Case | None = None
    simple_verdict: Verdict | None = None
    simple_ratio: float | None = None
    progress: Progress = field(default_factory=Progress)
    finished: bool = True
    interrupted: bool = False

    @property
    def violated(self) -> bool:
        return self.verdict is not None and self.verdict.outcome is Outcome.VIOLATED

    @property
    def exit_code(self) -> int:
        """As ``bomrl verify``: a refuted theorem is expected to be violated, any other is not."""
        if self.interrupted:
            return 130
        if self.ratio is None:
            return 3
        return int(self.violated != (self.theorem.status == "refuted"))

    def headline(self) -> str:
        """What was established, in one line."""
        name = self.theorem.id
        if self.ratio is None:
            return f"{name}: no candidate was in scope and decided"
        if self.violated:
            expected = "refuted, as registered" if self.theorem.status == "refuted" else "BROKEN"
            factor = "a bound that is not positive" if math.isinf(self.ratio) else f"left/bound up to {self.ratio:.10g}"
            return f"{name}: {expected}; VIOLATED with {factor}, certified"
        if self.theorem.relation == "==":
            return f"{name}: both sides are equal, in exact arithmetic, on the worst candidate of every start"
        return f"{name}: HOLDS with left/bound = {_digits(self.ratio)}, certified; the largest found"

    def remarks(self) -> list[str]:
        """What it means, and what was done."""
        lines = []
        if self.ratio is not None and not self.violated and self.theorem.relation == "<=":
            room = 1 - self.ratio
            lines.append(
                f"no factor below {_digits(self.ratio)} in front of the bound can be valid: "
                f"it cannot be lowered by more than {room:.2g} of its size"
            )
        if self.simple_ratio is not None and self.theorem.relation == "<=" and math.isfinite(self.simple_ratio):
            lines.append(f"left/bound of the case shown: {_digits(self.simple_ratio)}")
        if self.theorem.status != "proved" and not self.violated and self.ratio is not None:
            lines.append("a search that finds nothing proves nothing")
        progress = self.progress
        lines.append(
            f"{progress.start} of {progress.starts} starts, {progress.candidates:,} candidates in floats, "
            f"{progress.seconds:.1f} s" + ("" if self.finished else "; ended early")
        )
        return lines

    def as_json(self) -> dict[str, Any]:
        """The stable JSON contract of ``bomrl search --json``; an infinite ratio is null with violated true."""

        def plain(ratio: float | None) -> float | None:
            return None if ratio is None or math.isinf(ratio) else ratio

        def side(case: Case | None, verdict: Verdict | None, ratio: float | None) -> dict[str, Any] | None:
            if case is None or verdict is None:
                return None
            return {
                "ratio": plain(ratio),
                "verdict": verdict.outcome,
                "task": verdict.task,
                "left": verdict.exact[0],
                "bound": verdict.exact[1],
                "algorithm": case.algorithm.name,
                "steps": case.steps,
                "tasks": case.family.tasks,
                "states": case.family.states,
                "actions": case.family.actions,
                **exact_mapping(case),
            }

        return {
            "id": self.theorem.id,
            "status": self.theorem.status,
            "ratio": plain(self.ratio),
            "violated": self.violated,
            "best": side(self.case, self.verdict, self.ratio),
            "simple": side(self.simple, self.simple_verdict, self.simple_ratio),
            "starts": self.progress.start,
            "candidates": self.progress.candidates,
            "finished": self.finished,
            "exit_code": self.exit_code,
        }


def _digits(ratio: float) -> str:
    """Six digits, or near 1 as many as tell it from 1; cut off, never rounded up."""
    places = 6 if not 0.999 < ratio < 1 else max(6, 2 + math.ceil(-math.log10(1 - ratio)))
    return f"{math.floor(ratio * 10**places) / 10**places:.{places}f}" if ratio < 1000 else f"{ratio:.6g}"


class _Stopped(Exception):
    """The time is up."""


class Search:
    """One search; :meth:`run` does everything.

    Args:
        theorem: any theorem; an identity is searched for its largest relative deviation.
        settings: see :class:`Settings`.
        resume: a case to begin at, for example what an earlier search saved.
        on_progress: told after every generation.

    Raises:
        InvalidTask: sizes, algorithm or steps that the theorem does not speak about, or too large a search.
    """

    def __init__(
        self,
        theorem: Theorem,
        settings: Settings = Settings(),
        *,
        resume: AnyCase | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ):
        if theorem.setting != "tabular":
            raise InvalidTask(
                f"{theorem.id} speaks about {theorem.setting} tasks, and the search ranges over finite MDPs; "
                "its witness is in bomrl show, its random cases in bomrl verify"
            )
        self.theorem, self.settings, self.on_progress = theorem, settings, on_progress
        self.resume = resume if isinstance(resume, Case) else None
        self.algorithms = (settings.algorithm,) if settings.algorithm else theorem.algorithms
        for algorithm in self.algorithms:
            if algorithm not in theorem.algorithms:
                raise InvalidTask(f"{theorem.id} speaks about {', '.join(theorem.algorithms)}, not about '{algorithm}'")
        self.steps = settings.steps or theorem.steps or 1
        if theorem.steps is not None and self.steps != theorem.steps:
            raise InvalidTask(f"{theorem.id} speaks about {theorem.steps} steps, not {self.steps}; leave out --steps")
        if resume is not None and not theorem.covers(resume):
            raise InvalidTask(f"{theorem.id} does not speak about the case to resume from ({resume.describe()})")
        tasks = settings.tasks or (2 if theorem.scope == "family" else 1)
        self.space = Space(tasks, settings.states, settings.actions)
        if self.space.dimension > LARGEST_DIMENSION:
            raise InvalidTask(
                f"{tasks} tasks, {settings.states} states and {settings.actions} actions have {self.space.dimension} "
                f"numbers; the search takes up to {LARGEST_DIMENSION}, lower a size"
            )
        self.screen = Screen(theorem)
        self.found = Found(theorem, progress=Progress(starts=settings.starts))
        self._began = time.perf_counter()
        self._incumbent: Array | None = None
        self._best_of_start: tuple[float, Array, Population] | None = None

    def run(self) -> Found:
        """Search, certify, simplify. An interrupt (ctrl-C) or the time limit keeps the best so far."""
        try:
            if self.resume is not None:
                self._certify([self.resume])
            for start in range(self.settings.starts):
                self._start(start)
        except (KeyboardInterrupt, _Stopped) as stop:
            self.found.finished = False
            self.found.interrupted = isinstance(stop, KeyboardInterrupt)
            self._certify_best_of_start()
        try:
            self._simplify()
        except KeyboardInterrupt:  # a second one: the case stays as it was found
            self.found.finished, self.found.interrupted = False, True
        self.found.progress.seconds = time.perf_counter() - self._began
        return self.found

    # --- one start --------------------------------------------------------------------------------

    def _start(self, start: int) -> None:
        """Evolve one population and certify its best candidate."""
        settings, progress = self.settings, self.found.progress
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(start,)))
        gamma = settings.gamma if settings.gamma is not None else DISCOUNTS[start % len(DISCOUNTS)]
        low, high = (math.log10(x) for x in settings.lambdas)
        drawn = Fraction(f"{10 ** rng.uniform(low, high):.1g}")
        lam = min(max(drawn, settings.lambdas[0]), settings.lambdas[1])
        algorithm = self.algorithms[start % len(self.algorithms)]
        dimension = self.space.dimension
        size = int(np.clip(CANDIDATES_A_DIMENSION * dimension, SMALLEST_POPULATION, LARGEST_POPULATION))
        population = self._first_generation(rng, size, start, gamma, algorithm)
        progress.start, progress.screened = start + 1, None
        self._best_of_start = None
        share = None
        if settings.seconds is not None:
            left = settings.seconds - (time.perf_counter() - self._began)
            share = time.perf_counter() + left / min(settings.starts - start, WELL_SERVED)

        def cost(x: Float64[Array, "d N"]) -> Float64[Array, " N"]:
            candidates = self.space.decode(x.T, gamma, lam, algorithm, self.steps)
            ratios = scores(self.theorem, self.screen(candidates))
            best = int(ratios.argmax())
            progress.candidates += len(ratios)
            progress.seconds = time.perf_counter() - self._began
            if self._best_of_start is None or ratios[best] > self._best_of_start[0]:
                self._best_of_start = float(ratios[best]), x[:, best].copy(), candidates.chosen(np.array([best]))
                progress.screened = float(ratios[best])
            self.on_progress(progress)
            if settings.seconds is not None and progress.seconds > settings.seconds:
                raise _Stopped
            return -np.maximum(ratios, -1e9)

        def over(*_: object, **__: object) -> bool:
            return share is not None and time.perf_counter() > share

        from scipy.optimize import differential_evolution  # few runs search, and it takes a while to load

        differential_evolution(
            cost,
            [(-1.0, 1.0)] * dimension,
            strategy="currenttobest1bin" if start % 2 else "best1bin",
            init=population,  # pyright: ignore[reportArgumentType]  (an array is documented)
            maxiter=settings.generations,
            vectorized=True,
            updating="deferred",
            polish=False,
            tol=1e-9,
            rng=rng,
            callback=over,
        )
        self._certify_best_of_start()

    def _first_generation(
        self, rng: np.random.Generator, size: int, start: int, gamma: Fraction, algorithm: str
    ) -> Float64[Array, "N d"]:
        """Uniform in the box; later starts put half of it around the best so far, under another discount or lambda."""
        population = rng.uniform(-1, 1, (size, self.space.dimension))
        if self.resume is not None and self._incumbent is None and self._fits(self.resume):
            self._incumbent = self.space.encode(self.resume)
        if self._incumbent is not None and (start % 2 or start == 0):
            half = size // 2
            width = 10 ** rng.uniform(-2, 0, (half, 1))
            population[:half] = np.clip(self._incumbent + width * rng.normal(size=(half, self.space.dimension)), -1, 1)
            population[0] = self._incumbent
        for row, case in enumerate(self._drawn(rng, gamma, algorithm, limit=size // 8)):
            population[-1 - row] = self.space.encode(case)
        return population

    def _fits(self, case: Case) -> bool:
        family = case.family
        return (family.tasks, family.states, family.actions) == (
            self.space.tasks,
            self.space.states,
            self.space.actions,
        )

    def _drawn(self, rng: np.random.Generator, gamma: Fraction, algorithm: str, limit: int) -> Iterator[Case]:
        """Cases from the theorem's own draws, which know where its assumptions hold."""
        count = 0
        for draw in self.theorem.draws:
            for _ in range(limit):
                vector = rng.uniform(-1, 1, (1, self.space.dimension))
                family = self.space.decode(vector, gamma, Fraction(1), algorithm, self.steps).case(0).family
                for case in draw.make(Solved(family), rng, "drawn"):
                    if count < limit and case.algorithm.name == algorithm and self._fits(case):
                        count += 1
                        yield case

    # --- certification ----------------------------------------------------------------------------

    def _certify_best_of_start(self) -> None:
        """Decide the start's best candidate, as it is and with fewer digits: ties may need round numbers."""
        if self._best_of_start is None:
            return
        _, vector, population = self._best_of_start
        self._best_of_start = None
        cases = []
        for digits in (None, 30, 10):
            arrays = {} if digits is None else {name: _rounded(getattr(population, name), digits) for name in ROUNDED}
            try:
                cases.append(replace(population, **arrays).case(0, origin="found by search"))
            except InvalidTask:  # a candidate that has left the range of doubles is no case
                continue
        if self._certify(cases):
            self._incumbent = vector

    def _certify(self, cases: list[Case]) -> bool:
        improved = False
        for case in cases:
            ratio, verdict = _tightest(self.theorem, case)
            if ratio is not None and (self.found.ratio is None or ratio > self.found.ratio):
                self.found.case, self.found.verdict, self.found.ratio = case, verdict, ratio
                self.found.progress.ratio = ratio
                improved = True
        return improved

    def _simplify(self) -> None:
        """Fill in the readable case."""
        found = self.found
        if found.case is None or found.ratio is None:
            return
        if found.violated:

            def broken(case: Case) -> bool:
                return violation(self.theorem, case) is not None

            simple = shrunk(found.case, broken, budget=self.settings.variants)
        else:
            target = 1 - max(1.02 * (1 - found.ratio), CLOSE)

            def tight(case: Case) -> bool:
                if self.settings.gamma not in (None, case.family.gamma):
                    return False
                ratio, _ = _tightest(self.theorem, case, precise=False)
                return ratio is not None and ratio >= target

            simple = shrunk(found.case, tight, budget=self.settings.variants)
        ratio, verdict = _tightest(self.theorem, simple)
        found.simple, found.simple_verdict, found.simple_ratio = simple, verdict, ratio


def scores(theorem: Theorem, sides: Sides) -> Float64[Array, " N"]:
    """What a start maximises: each candidate's largest ratio in floats, or below -1 where an assumption fails."""
    noise = NOISE * sides.size
    with np.errstate(all="ignore"):
        if theorem.relation == "==":
            ratio = np.abs(sides.left - sides.bound) / (np.abs(sides.left) + np.abs(sides.bound) + noise)
        else:
            ratio = float_ratio(sides.left, sides.bound, noise)
        failed = ~(sides.margins >= -1e-12)
        penalty = np.where(failed, np.arcsinh(np.abs(sides.margins)), 0.0).sum(axis=0)
    result = np.where(failed.any(axis=0), -1 - penalty, ratio)
    return np.where(np.isnan(result), -np.inf, result).max(axis=0)


def _tightest(theorem: Theorem, case: Case, *, precise: bool = True) -> tuple[float | None, Verdict | None]:
    """The largest certified ratio on a case, with its verdict; a violation counts more than any ratio."""
    best: tuple[float | None, Verdict | None] = (None, None)
    for verdict in verdicts_on(theorem, case, precise=precise):
        ratio = certified_ratio(verdict)
        if theorem.relation == "==":  # broken on either side, or exact
            ratio = {Outcome.VIOLATED: math.inf, Outcome.HOLDS: 1.0}.get(verdict.outcome)
        if ratio is not None and (best[0] is None or ratio > best[0]):
            best = ratio, verdict
    return best


def _rounded(x: Array, digits: int) -> Array:
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 2.0**digits) / 2.0**digits, exponent)
