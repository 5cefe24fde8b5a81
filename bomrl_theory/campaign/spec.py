"""What a campaign does: a TOML file, read strictly; docs/campaigns.md describes it."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

from bomrl_theory.adapt.adapt import algorithms as known_algorithms
from bomrl_theory.campaign.kinds import KINDS, digest_of, is_fixed
from bomrl_theory.errors import BomrlError, InvalidFile
from bomrl_theory.tasks.mdp import exact_discount
from bomrl_theory.theory.case import Setting, exact_lambda
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem

META_POLICIES = ("uniform", "random", "barycentre")
RANDOM = "random"
SETTINGS: tuple[str, ...] = get_args(Setting)
LARGEST_STEPS = 10_000
EXAMPLE = """\
# bomrl campaign campaign.toml -o first
name = "first campaign"
seed = 0
theorems = ["contraction_kl_posterior", "contraction_kl_prior", "contraction_euclidean", "no_adaptation"]
cases = 400                                  # in each cell of the grid
chunk = 200                                  # cases in a file
batch = 100                                  # cases that share a meta-policy, and a lambda that is drawn

[adaptation]
algorithms = ["none", "kl-posterior", "kl-prior", "euclidean"]
lambdas = ["1/10", "random"]
meta_policies = ["uniform", "random"]

[[families]]
kind = "garnet"
states = [4, 8]
actions = 3
branching = 2
gamma = ["9/10", "99/100"]

[[families]]
kind = "corners"
"""


@dataclass(frozen=True)
class FamilyGrid:
    """One ``[[families]]``: a kind with lists of values for its parameters, or a family by name.

    Attributes:
        kind: a name in ``KINDS``, or None.
        named: a family by name or an absolute path to its file, or None.
        parameters: values by name, exact numbers as text.
        digest: of the file.
    """

    kind: str | None
    named: str | None
    parameters: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    digest: str | None = None


@dataclass(frozen=True)
class TheoremSource:
    """Where another process finds a theorem.

    Attributes:
        name: an id of the registry, or the absolute path to a file.
        text: the file's content; None for a registered one.
    """

    name: str
    text: str | None = None


@dataclass(frozen=True)
class Spec:
    """A campaign as its file says; exact numbers are texts.

    Attributes:
        path: of the file.
        name, seed: of the campaign.
        theorems: what is judged.
        sources: where another process finds them.
        whole_setting: the theorems are all of a setting, so that some may have nothing to say here.
        cases: in each cell of the grid.
        chunk: cases in a file.
        batch: cases that share a meta-policy, and a lambda that is drawn.
        saved: violated or undecided cases that are saved for each theorem, at most.
        families, algorithms, lambdas, steps, meta_policies: the grid.
    """

    path: Path
    name: str
    seed: int
    theorems: tuple[Theorem, ...]
    sources: tuple[TheoremSource, ...]
    whole_setting: bool
    cases: int
    chunk: int
    batch: int
    saved: int
    families: tuple[FamilyGrid, ...]
    algorithms: tuple[str, ...]
    lambdas: tuple[str, ...]
    steps: tuple[int, ...]
    meta_policies: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Everything that decides the campaign's cases and verdicts."""
        return {
            "name": self.name,
            "seed": self.seed,
            "theorems": {
                theorem.id: "registered" if source.text is None else source.text
                for theorem, source in zip(self.theorems, self.sources, strict=True)
            },
            "cases": self.cases,
            "chunk": self.chunk,
            "batch": self.batch,
            "saved": self.saved,
            "adaptation": {
                "algorithms": list(self.algorithms),
                "lambdas": list(self.lambdas),
                "steps": list(self.steps),
                "meta_policies": list(self.meta_policies),
            },
            "families": [
                {
                    **({"kind": grid.kind} if grid.kind else {"named": grid.named}),
                    **({} if grid.digest is None else {"sha256": grid.digest}),
                    **{key: list(values) for key, values in grid.parameters.items()},
                }
                for grid in self.families
            ],
        }


def read_spec(path: Path) -> Spec:
    """Read and check a campaign's file.

    Raises:
        InvalidFile: unreadable, not TOML, an unknown key or a value that is not allowed; the message names the file,
            the key, the value and the remedy.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise InvalidFile(f"cannot read {path}: {error.strerror}; bomrl campaign --example prints one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{path} is not valid TOML: {error}") from None
    try:
        return _Reader(path).spec(content)
    except _Refused as error:
        raise InvalidFile(f"{path}: {error}") from None


class _Refused(Exception):
    """A key or a value is not allowed."""


_REQUIRED: Any = object()
_TOP = ("name", "seed", "theorems", "cases", "chunk", "batch", "saved", "adaptation", "families")
_ADAPTATION = ("algorithms", "lambdas", "steps", "meta_policies")


class _Reader:
    """Turns a parsed file into a :class:`Spec`."""

    def __init__(self, path: Path):
        self.path = path

    def spec(self, content: dict[str, Any]) -> Spec:
        _known(content, _TOP, "")
        adaptation = _table(content.get("adaptation"), "adaptation")
        _known(adaptation, _ADAPTATION, "adaptation.")
        theorems, sources, whole = self._theorems(content.get("theorems", _REQUIRED))
        families = content.get("families")
        if not isinstance(families, list) or not families:
            raise _Refused("[[families]] is missing; give at least one, such as [[families]] kind = 'garnet'")
        return Spec(
            path=self.path,
            name=_text(content.get("name", self.path.stem), "name"),
            seed=_whole(content.get("seed", 0), "seed", 0),
            theorems=theorems,
            sources=sources,
            whole_setting=whole,
            cases=_whole(content.get("cases", _REQUIRED), "cases", 1),
            chunk=_whole(content.get("chunk", 1000), "chunk", 1),
            batch=_whole(content.get("batch", 250), "batch", 1),
            saved=_whole(content.get("saved", 10), "saved", 0),
            families=tuple(
                self._family(_table(entry, f"families[{place}]"), f"families[{place}].")
                for place, entry in enumerate(families)
            ),
            algorithms=_names(adaptation.get("algorithms", _REQUIRED), "adaptation.algorithms", known_algorithms()),
            lambdas=tuple(_lambda(x) for x in _several(adaptation.get("lambdas", [RANDOM]), "adaptation.lambdas")),
            steps=tuple(
                _whole(x, "adaptation.steps", 0, LARGEST_STEPS)
                for x in _several(adaptation.get("steps", [1]), "adaptation.steps")
            ),
            meta_policies=_names(adaptation.get("meta_policies", [RANDOM]), "adaptation.meta_policies", META_POLICIES),
        )

    def _theorems(self, value: Any) -> tuple[tuple[Theorem, ...], tuple[TheoremSource, ...], bool]:
        if isinstance(value, str) and not value.endswith(".py"):
            if value not in SETTINGS:
                raise _Refused(
                    f"theorems = {value!r} is no setting{_meant(value, SETTINGS)}; for some theorems give a list"
                )
            chosen = [theorem for theorem in registry().values() if theorem.setting == value]
            return tuple(chosen), tuple(TheoremSource(theorem.id) for theorem in chosen), True
        theorems, sources = [], []
        for name in _several(value, "theorems"):
            source = self._source(_text(name, "theorems"))
            try:
                theorems.append(theorem_named(source.name))
            except BomrlError as error:
                raise _Refused(f"theorems: {error}") from None
            sources.append(source if source.text is not None else TheoremSource(theorems[-1].id))
        ids = [theorem.id for theorem in theorems]
        twice = next((name for name in ids if ids.count(name) > 1), None)
        if twice is not None:
            raise _Refused(f"theorems names {twice!r} twice; leave one out")
        return tuple(theorems), tuple(sources), False

    def _source(self, name: str) -> TheoremSource:
        if not name.endswith(".py"):
            return TheoremSource(name)
        place = (self.path.parent / name).absolute()
        try:
            return TheoremSource(str(place), place.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise _Refused(f"theorems: cannot read {place}: {error}; paths are relative to this file") from None

    def _family(self, entry: dict[str, Any], where: str) -> FamilyGrid:
        if ("kind" in entry) == ("named" in entry):
            raise _Refused(f"{where[:-1]} needs one of kind ({', '.join(KINDS)}) and named (a family by name or file)")
        if "named" in entry:
            _known(entry, ("named",), where)
            named = _text(entry["named"], f"{where}named")
            if not named.endswith((".npz", ".json")):
                return FamilyGrid(None, named)
            place = (self.path.parent / named).absolute()
            try:
                return FamilyGrid(None, str(place), digest=digest_of(place))
            except InvalidFile as error:
                raise _Refused(f"{where}named: {error}; paths are relative to this file") from None
        (name,) = _names(entry["kind"], f"{where}kind", KINDS)
        kind = KINDS[name]
        _known(entry, ("kind", *kind.parameters), where)
        missing = [key for key in kind.needed if key not in entry]
        if missing:
            raise _Refused(f"{where}{missing[0]} is missing; kind {name!r} draws no {missing[0]} by itself")
        # A case is one task unless the file says otherwise.
        values = {"tasks": 1, **{key: value for key, value in entry.items() if key != "kind"}}
        return FamilyGrid(
            name,
            None,
            {
                key: tuple(
                    _parameter(x, f"{where}{key}", kind.parameters[key]) for x in _several(value, f"{where}{key}")
                )
                for key, value in sorted(values.items())
            },
        )


def is_random(grid: FamilyGrid) -> bool:
    """Whether every draw gives another family."""
    return grid.named is None or not is_fixed(grid.named)


def _known(entry: dict[str, Any], known: Sequence[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise _Refused(f"unknown key '{where}{key}'{_meant(key, known)}; known: {', '.join(known)}")


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    return f", did you mean {' or '.join(close)}?" if close else ""


def _table(value: Any, key: str) -> dict[str, Any]:
    if value is None:
        raise _Refused(f"[{key}] is missing; it says which algorithms adapt, such as algorithms = ['kl-posterior']")
    if not isinstance(value, dict):
        raise _Refused(f"{key} = {value!r} is no table; write [{key}] or [[{key.partition('[')[0]}]] above its keys")
    return value


def _several(value: Any, key: str) -> list[Any]:
    """A list that is not empty and holds nothing twice; one value counts as such a list."""
    if value is _REQUIRED:
        raise _Refused(f"key '{key}' is missing")
    values = value if isinstance(value, list) else [value]
    if not values:
        raise _Refused(f"{key} is empty; give at least one value")
    twice = next((x for place, x in enumerate(values) if x in values[:place]), None)
    if twice is not None:
        raise _Refused(f"{key} holds {_shown(twice)} twice; leave one out")
    return values


def _names(value: Any, key: str, known: Iterable[str]) -> tuple[str, ...]:
    known = list(known)
    names = _several(value, key)
    for name in names:
        if name not in known:
            raise _Refused(f"{key} = {_shown(name)} is not known{_meant(str(name), known)}; known: {', '.join(known)}")
    return tuple(names)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise _Refused(f"{key} = {_shown(value)} is no text; write it between quotation marks")
    return value


def _whole(value: Any, key: str, least: int, most: int = 2**31 - 1) -> int:
    if value is _REQUIRED:
        raise _Refused(f"key '{key}' is missing; give a whole number from {least}")
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _Refused(f"{key} = {_shown(value)} is not a whole number from {least} to {most}; correct it")
    return value


def _lambda(value: Any) -> str:
    if value == RANDOM:
        return RANDOM
    try:
        return str(exact_lambda(_number(value, "adaptation.lambdas")))
    except BomrlError as error:
        raise _Refused(f"adaptation.lambdas: {error}; give exact numbers such as '1/10', or {RANDOM!r}") from None


def _parameter(value: Any, key: str, what: str) -> Any:
    if what == "int":
        return _whole(value, key, 1)
    if what == "text":
        return _text(value, key)
    number = _number(value, key)
    try:
        return float(number) if what == "float" else str(exact_discount(number))
    except BomrlError as error:
        raise _Refused(f"{key}: {error}") from None


def _number(value: Any, key: str) -> Fraction:
    """A number as TOML writes it, or a text such as 1/10: exactly."""
    try:
        if isinstance(value, int | Decimal | str) and not isinstance(value, bool):
            return Fraction(value)
    except (ValueError, OverflowError, ZeroDivisionError):
        pass
    raise _Refused(f"{key} = {_shown(value)} is not a finite number; give one, or a fraction such as '1/10'")


def _shown(value: Any) -> str:
    """As it is in the file."""
    return str(value) if isinstance(value, Decimal) else repr(value)
