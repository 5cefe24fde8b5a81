"""Meta-training: a learner's moves, a rule's steps, and the exact record of what they achieve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.certified_step import certified_step
from bomrl_theory.meta.learner import Data, Learner, Move, Surrogate, learner_named
from bomrl_theory.meta.objective import Adapted
from bomrl_theory.meta.rule import Memory, rule_named
from bomrl_theory.meta.sampled import sampled_family
from bomrl_theory.numbers import FLOATS, Array, SingularSystem
from bomrl_theory.tasks.mdp import exact_number
from bomrl_theory.tasks.policy import from_log_weights


@dataclass(frozen=True)
class Record:
    """One meta-iteration, at the logits that its step started from; gaps and F are exact over all tasks.

    Attributes:
        iteration: 0, 1, ...; the last record of a finished run is of its final logits.
        F: ``E_tau J_tau(Alg(phi))``, the expected return after adaptation.
        objective: what the learner maximises, on its data; None if nothing, or in the last record.
        gradient: length of the direction; None in the last record.
        step: the rule's step size; None where no step was taken.
        gap_before: ``E_tau [J* - J(phi)]``.
        gap_after: ``E_tau [J* - J(Alg(phi))]``.
        status: "stepped", "finished", "converged", or why the run stopped here.
    """

    iteration: int
    F: float
    objective: float | None
    gradient: float | None
    step: float | None
    gap_before: float
    gap_after: float
    status: str


COLUMNS = tuple(field.name for field in fields(Record))


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, besides the tasks, the start and the generator. Checked by :class:`Trainer`.

    Attributes:
        learner, rule: by name.
        algorithm: how each task adapts, by name; None for the learner's first, or kl-posterior.
        lam: regularisation lambda, exact.
        method: of the hypergradient, for learners that leave the choice.
        step: the rule's step size; None for the rule's own, which for "ascent" is the certified 1/L.
        iterations: of the upper level.
        batch: tasks drawn for each iteration, independently by weight; None for all, with exact expectation.
        trajectories: for each task and iteration, for models estimated from them; None for the exact models.
        outer_steps: steps of the rule on the same data.
    """

    learner: str = "bo-mrl"
    algorithm: str | None = None
    lam: Fraction = Fraction(1)
    method: str = "exact"
    rule: str = "adam"
    step: float | None = None
    iterations: int = 150
    batch: int | None = None
    trajectories: int | None = None
    outer_steps: int = 1

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"lam": str(self.lam)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Config:
        exact: dict[str, Any] = {"lam": Fraction(values["lam"])}
        return cls(**(values | exact))


@dataclass(frozen=True, eq=False)
class State:
    """A run between two iterations: with its generator's state, all that the rest of it depends on.

    Attributes:
        iteration: the next one.
        theta: logits [S, A].
        memory: the rule's.
        status: "running", or how the run ended.
    """

    iteration: int
    theta: Float64[Array, "S A"]
    memory: Memory
    status: str = "running"


@dataclass(frozen=True, eq=False)
class Training:
    """A trained meta-policy.

    Attributes:
        theta: logits [S, A]; of the last good iterate if the run stopped.
        log: one record an iteration, and one of the final logits.
        status: "finished", "converged", or why the run stopped.
        config: what was run.
    """

    theta: Float64[Array, "S A"]
    log: list[Record]
    status: str
    config: Config

    @property
    def policy(self) -> Float64[Array, "S A"]:
        """``softmax(theta)``, full support."""
        return from_log_weights(self.theta)

    def column(self, name: str) -> Float64[Array, " n"]:
        """One column of the log, NaN where there is no value."""
        values = (getattr(record, name) for record in self.log)
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The log's values in the order of :data:`COLUMNS`."""
        return [astuple(record) for record in self.log]


class Trainer:
    """Runs a configuration on a family, iteration by iteration.

    Args:
        solved: the tasks.
        config: what to run.

    Raises:
        UnknownName: no such learner, algorithm, rule or method.
        InvalidTask: the configuration contradicts itself; the message names the value and the remedy.
    """

    def __init__(self, solved: Solved, config: Config):
        self.solved = solved
        self.learner = learner_named(config.learner)
        self.rule = rule_named(config.rule)
        algorithm = config.algorithm or (self.learner.algorithms or ("kl-posterior",))[0]
        self.algorithm = algorithm_named(algorithm)
        self.config = replace(config, algorithm=algorithm)
        _check(self.config, self.learner)
        self.lam = float(config.lam)
        self.trained = self.learner.collect is not None
        self._weights = solved.family.weights / solved.family.weights.sum()
        self._optimal = float(self._weights @ solved.star(FLOATS).J)
        self._step_size = self._sizes() if self.trained else None
        if self.learner.collect is not None:  # what it cannot do on one task is told before anything is written
            data = Data(solved.restricted([0]), self.algorithm, self.lam, config.method)
            flat = np.zeros((solved.family.states, solved.family.actions))
            self.learner.collect(data, flat)(flat)

    @property
    def certified(self) -> bool:
        """Whether the steps are those of a stationarity theorem: exact gradients, and 1/L as the step size."""
        return self.trained and self.config.rule == "ascent" and self.config.step is None

    def begin(self, rng: np.random.Generator, start: Float64[Array, "S A"] | None = None) -> State:
        """The state before the first iteration; without a start the learner's own, or the uniform policy.

        Raises:
            InvalidTask: logits of the wrong shape or not finite, or a start for a learner that has its own.
        """
        shape = (self.solved.family.states, self.solved.family.actions)
        if self.learner.start is not None:
            if start is not None:
                raise InvalidTask(f"'{self.learner.name}' is itself a start; leave the other start out")
            start = self.learner.start(self.solved, rng)
        theta = np.zeros(shape) if start is None else np.array(start, dtype=np.float64)
        if theta.shape != shape or not np.all(np.isfinite(theta)):
            raise InvalidTask(
                f"the start must be finite logits with shape {list(shape)}; got shape {list(theta.shape)}"
            )
        return State(0, theta, self.rule.start(shape))

    def run(self, state: State, rng: np.random.Generator) -> Iterator[tuple[Record, State]]:
        """Every iteration's record with the state after it; the generator is moved on as the state is.

        After the record of a state that is no longer "running" nothing follows.
        """
        while state.status == "running":
            record, state = self._iterate(state, rng)
            yield record, state

    def _iterate(self, state: State, rng: np.random.Generator) -> tuple[Record, State]:
        last = state.iteration >= (self.config.iterations if self.trained else 0)
        if last:
            return self._record(state, None, None, "finished", None)
        move, failure, theta, memory, size = None, "", state.theta, state.memory, 0.0
        try:
            surrogate = self._surrogate(state.theta, rng)
            for repeat in range(self.config.outer_steps):
                here = surrogate(theta)
                move = here if repeat == 0 else move
                if not _finite(here):
                    failure = "stopped: the gradient is not a number"
                    break
                assert self._step_size is not None
                size_here = self._step_size(theta)
                with FLOATS.activated():
                    taken = self.rule.step(surrogate, theta, here, memory, size_here)
                if not np.all(np.isfinite(taken.theta)):
                    failure = "stopped: the step left the range of doubles"
                    break
                if taken.status == "line search failed":
                    failure = "stopped: the line search found no step that gains"
                    break
                if taken.status == "converged":
                    failure = "converged" if repeat == 0 else failure
                    break
                theta, memory, size = taken.theta, taken.memory, taken.size
        except SingularSystem:
            failure = "stopped: a linear system is singular in float64"
        if failure:
            return self._record(state, move, None, failure, None)
        return self._record(state, move, size, "stepped", replace(state, theta=theta, memory=memory))

    def _record(
        self, state: State, move: Move | None, size: float | None, status: str, after: State | None
    ) -> tuple[Record, State]:
        """The record at ``state``; without a state after it the run ends there."""
        adapted, before = self._measured(state.theta, move)
        record = Record(
            iteration=state.iteration,
            F=adapted,
            objective=None if move is None else move.objective,
            gradient=None if move is None else _length(move.direction),
            step=size,
            gap_before=self._optimal - before,
            gap_after=self._optimal - adapted,
            status=status if move is None or move.status == "solved" else f"{status}, inner problem {move.status}",
        )
        following = replace(state, status=status) if after is None else replace(after, iteration=state.iteration + 1)
        return record, following

    def _measured(self, theta: Float64[Array, "S A"], move: Move | None) -> tuple[float, float]:
        """F and the return before adaptation, exact over all tasks."""
        with FLOATS.activated():
            before = float(self._weights @ self.solved.evaluate(from_log_weights(theta), FLOATS).J)
            if move is not None and move.adapted is not None and self._exact:
                return move.adapted, before
            return Adapted.of(self.solved, theta, self.algorithm, self.lam).value, before

    @property
    def _exact(self) -> bool:
        return self.config.batch is None and self.config.trajectories is None

    def _surrogate(self, theta: Float64[Array, "S A"], rng: np.random.Generator) -> Surrogate:
        """What to climb in this iteration, on new data if they are sampled."""
        solved = self.solved
        if self.config.batch is not None:
            solved = _minibatch(solved, rng.choice(len(self._weights), self.config.batch, p=self._weights))
        if self.config.trajectories is not None:
            solved = Solved(sampled_family(solved, theta, self.config.trajectories, rng))
        assert self.learner.collect is not None
        return self.learner.collect(Data(solved, self.algorithm, self.lam, self.config.method), theta)

    def _sizes(self) -> Callable[[Float64[Array, "S A"]], float]:
        """The step size at any logits."""
        size = self.config.step if self.config.step is not None else self.rule.size
        if size is not None:
            return lambda theta: size
        if not self._exact:
            raise InvalidTask(
                "the certified step 1/L is for exact gradients over all tasks; give a step size, use the rule adam, "
                "or leave minibatches and trajectories out"
            )
        assert self.config.algorithm is not None
        return certified_step(self.solved, self.learner, self.config.algorithm, self.config.lam, self.config.method)


def train(
    solved: Solved,
    learner: str = "bo-mrl",
    *,
    algorithm: str | None = None,
    lam: Any = None,
    alpha: float | None = None,
    method: str = "exact",
    rule: str = "adam",
    step: float | None = None,
    iterations: int = 150,
    batch: int | None = None,
    trajectories: int | None = None,
    outer_steps: int = 1,
    rng: np.random.Generator | None = None,
    start: Float64[Array, "S A"] | None = None,
    on_record: Callable[[Record], None] = lambda record: None,
) -> Training:
    """Train a meta-policy.

    Args:
        solved: the tasks.
        learner: by name, see :func:`~bomrl_theory.meta.learner.learners`.
        lam: regularisation lambda > 0, in the unit of return; 1 by default.
        alpha: instead of lambda, the step size of the policy-gradient step: ``lambda = (1-gamma)/(2 alpha)``.
        rng: draws minibatches, trajectories and a random start; seeded with 0 by default.
        start: logits [S, A]; the uniform policy by default.
        on_record: told every record as it is made.

    The other arguments are those of :class:`Config`.

    Raises:
        UnknownName, InvalidTask: as :class:`Trainer` and :meth:`Trainer.begin`.
    """
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
    rng = np.random.default_rng(0) if rng is None else rng
    state, log = trainer.begin(rng, start), []
    for record, following in trainer.run(state, rng):
        on_record(record)
        log.append(record)
        state = following
    return Training(state.theta, log, state.status, trainer.config)


def regularisation(solved: Solved, lam: Any = None, alpha: Any = None) -> Fraction:
    """lambda, exact, from itself or from the policy-gradient step's size; 1 from neither.

    Raises:
        InvalidTask: both are given, or one is not positive and finite.
    """
    if lam is not None and alpha is not None:
        raise InvalidTask(f"lambda = {lam} and alpha = {alpha} say the same thing twice; give one of them")
    name, value = ("alpha", alpha) if alpha is not None else ("lambda", 1 if lam is None else lam)
    exact = exact_number(name, value)
    if exact <= 0:
        raise InvalidTask(f"{name} = {value} must be positive")
    return exact if alpha is None else (1 - solved.family.gamma) / (2 * exact)


def _check(config: Config, learner: Learner) -> None:
    """Refuse what contradicts itself.

    Raises:
        InvalidTask: names the value and the remedy.
    """
    if learner.reference is not None:
        raise InvalidTask(f"'{learner.name}' is one policy for each task, no meta-policy; choose another learner")
    if learner.algorithms and config.algorithm not in learner.algorithms:
        raise InvalidTask(
            f"'{learner.name}' adapts by {' or '.join(learner.algorithms)}, not by {config.algorithm}; "
            "leave the algorithm out, or choose another learner"
        )
    if config.method != "exact" and not learner.methods:
        raise InvalidTask(f"'{learner.name}' has no choice of hypergradient method; leave '{config.method}' out")
    for name, least in (("iterations", 0), ("batch", 1), ("trajectories", 1), ("outer_steps", 1)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise InvalidTask(f"{name} = {value}; it must be at least {least}")
    if config.step is not None and not (config.step > 0 and np.isfinite(config.step)):
        raise InvalidTask(f"step = {config.step} must be positive and finite")
    if rule_named(config.rule).searches and not (learner.gradient and config.method != "first-order"):
        raise InvalidTask(
            f"a line search needs the gradient of an objective, and '{learner.name}' moves along another direction; "
            "use the rule adam, or ascent with a step size"
        )


def _minibatch(solved: Solved, drawn: Int[Array, " n"]) -> Solved:
    """Tasks that were drawn by weight, each with weight one."""
    family = solved.family.only(drawn.tolist())
    return Solved(replace(family, weights=np.ones(len(drawn))))


def _length(direction: Float64[Array, "S A"]) -> float:
    """Euclidean; infinite where it overflows."""
    with FLOATS.activated():
        return float(np.linalg.norm(direction))


def _finite(move: Move) -> bool:
    return bool(np.all(np.isfinite(move.direction))) and (move.objective is None or bool(np.isfinite(move.objective)))
