"""Whole verdicts that begin on a device: those of the host, and the switch that chooses it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from exact_reference import hard_families  # noqa: E402
from helpers import Bomrl, drawn, tabular  # noqa: E402

from bomrl_theory.errors import InvalidFile, InvalidTask  # noqa: E402
from bomrl_theory.exact.solved import Solved  # noqa: E402
from bomrl_theory.numbers import Enclosure, computing_on, device_in_use  # noqa: E402
from bomrl_theory.tasks.family import TaskFamily  # noqa: E402
from bomrl_theory.tasks.policy import uniform_policy  # noqa: E402
from bomrl_theory.theory.case import Case  # noqa: E402
from bomrl_theory.theory.registry import theorem_named  # noqa: E402
from bomrl_theory.theory.small import two_arms  # noqa: E402
from bomrl_theory.theory.theorem import Theorem  # noqa: E402
from bomrl_theory.verify import work  # noqa: E402
from bomrl_theory.verify.fingerprint import Fingerprint  # noqa: E402
from bomrl_theory.verify.verdict import Outcome, Verdict, judge  # noqa: E402

PLACES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CONTRACTION, NO_ADAPTATION = theorem_named("contraction_kl_posterior"), theorem_named("no_adaptation")
FAMILIES = ("garnet:states=4,actions=3,tasks=5", "frozen-lake-high:tasks=2", "chain:states=4,tasks=3")
every_place = pytest.mark.parametrize("place", PLACES)


def told(verdicts: Sequence[Verdict]) -> list[tuple[Any, ...]]:
    """What must not depend on the place; the name of the number system without it."""
    return [(v.task, v.outcome, v.grade, v.certified, v.reason, v.numbers.partition(" on ")[0]) for v in verdicts]


def both(theorem: Theorem, make: Callable[[], Any], place: str) -> tuple[list[Verdict], list[Verdict]]:
    """The verdicts on the host and on the device, which share nothing."""
    host = judge(theorem, make())
    with computing_on(place):
        return host, judge(theorem, make())


def overlap(one: Verdict, other: Verdict) -> bool:
    """Whether both sides' enclosures can be of the same numbers."""
    return all(
        abs(Fraction(float(x.mid)) - Fraction(float(y.mid))) <= Fraction(float(x.rad)) + Fraction(float(y.rad))
        for x, y in zip(one.sides or (), other.sides or (), strict=True)
        if isinstance(x, Enclosure) and np.isfinite(x.rad) and isinstance(y, Enclosure) and np.isfinite(y.rad)
    )


@every_place
@pytest.mark.parametrize("theorem", tabular(), ids=lambda theorem: theorem.id)
def test_every_theorem_finds_the_same_on_its_witness(theorem: Theorem, place: str) -> None:
    host, there = both(theorem, theorem.witness, place)
    assert told(there) == told(host)
    assert all(map(overlap, host, there))


@every_place
@pytest.mark.parametrize("spec", FAMILIES)
@pytest.mark.parametrize("algorithm", ["none", "kl-posterior", "kl-prior", "euclidean"])
def test_families_are_judged_alike(spec: str, algorithm: str, place: str) -> None:
    family, seen = drawn(spec), 0
    for theorem in tabular():
        case = Case.new(family, uniform_policy(family.states, family.actions), algorithm, "1/10")
        if theorem.relation == "==" or not theorem.covers(case):
            continue
        host, there = both(theorem, lambda made=case: Case.new(family, made.phi, algorithm, "1/10"), place)
        assert told(there) == told(host), theorem.id
        assert all(map(overlap, host, there)), theorem.id
        seen += sum(verdict.numbers == f"float64 enclosure on {place}" for verdict in there)
    assert seen > 5


@every_place
def test_hard_families_have_the_same_optimum_and_verdicts(place: str) -> None:
    """Exact ties, tiny probabilities, rewards of every size: the optimum's proof runs there too."""
    for name, family in hard_families(np.random.default_rng(3), states=4, tasks=2):
        with computing_on(place):
            optimum = Solved(family).optimum
        assert (optimum.actions == Solved(family).optimum.actions).all(), name
        phi = uniform_policy(family.states, family.actions)
        host, there = both(NO_ADAPTATION, lambda family=family, phi=phi: Case.new(family, phi, "none"), place)
        assert [v.outcome for v in there] == [v.outcome for v in host], name


@every_place
def test_a_bound_that_is_too_tight_is_violated_there(place: str) -> None:
    case = Case.new(two_arms(Fraction(4, 5)), [[1, 2]], "none")
    with computing_on(place):
        (verdict,) = judge(NO_ADAPTATION.scaled(1 - Fraction(1, 10**6)), case)
        (tie,) = judge(NO_ADAPTATION, Case.new(case.family, case.phi, "none"))
    assert (verdict.outcome, verdict.numbers, verdict.certified) == (
        Outcome.VIOLATED,
        f"float64 enclosure on {place}",
        True,
    )
    assert (tie.outcome, tie.numbers) == (Outcome.HOLDS, "rational(256)")  # what stays open climbs on the host


@every_place
def test_a_wrong_solve_or_a_wrong_optimum_never_decides_wrongly(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's solver only proposes: radii grow, and the ladder goes on."""
    solve = torch.linalg.solve_ex
    monkeypatch.setattr(torch.linalg, "solve_ex", lambda A, b: (solve(A, b)[0] * 1.001, None))
    family = drawn(FAMILIES[0])
    phi = uniform_policy(family.states, family.actions)
    host, there = both(CONTRACTION, lambda: Case.new(family, phi, "kl-posterior", "1/10"), place)
    assert [v.outcome for v in there] == [v.outcome for v in host]
    assert all(map(overlap, host, there))


def test_the_device_is_in_use_inside_only() -> None:
    assert device_in_use() is None
    with computing_on("cpu"):
        assert (found := device_in_use()) is not None
        assert found.described == f"torch {torch.__version__} on cpu"
        with computing_on(None):
            assert device_in_use() is None
        assert device_in_use() is found
    assert device_in_use() is None


def test_sparse_families_stay_on_the_host() -> None:
    family = drawn("sparse-garnet:states=30,tasks=2")
    with computing_on("cpu"):
        verdicts = judge(NO_ADAPTATION, Case.new(family, uniform_policy(family.states, family.actions), "none"))
    assert {verdict.numbers for verdict in verdicts} == {"float64 enclosure"}


def test_processes_are_told_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_theorems", [NO_ADAPTATION])
    job = work.Job([Case.new(drawn("garnet:states=4,actions=2,tasks=1"), uniform_policy(4, 2), "none")], [[0]])
    for device, name in ((None, "float64 enclosure"), ("cpu", "float64 enclosure on cpu")):
        (((verdicts, _),),) = work._judged_job(work._message(job), device)
        assert verdicts[0].numbers == name


# --- the switch -----------------------------------------------------------------------------------

VERIFY = ("verify", "contraction_kl_posterior", "--family", "garnet:states=4,actions=2,tasks=2", "--cases", "1")


def test_verify_on_a_device(bomrl: Bomrl) -> None:
    code, out, err = bomrl(*VERIFY, "--device", "cpu", "--json")
    assert code == 0, err
    host_code, host, _ = bomrl(*VERIFY, "--json")
    assert host_code == 0
    (found,), (expected,) = json.loads(out)["theorems"], json.loads(host)["theorems"]
    assert found["verdicts"] == expected["verdicts"]
    assert found["decided_by"].pop("float64 enclosure on cpu") == expected["decided_by"].pop("float64 enclosure") > 10
    assert found["decided_by"] == expected["decided_by"]


@pytest.mark.parametrize("name", ["abacus", "cuda:99", "meta"])
def test_a_device_that_is_not_here_ends_in_one_line(bomrl: Bomrl, name: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text("")
    for command in (VERIFY, ("campaign", str(spec), "-o", str(tmp_path / "out"))):
        code, out, err = bomrl(*command, "--device", name)
        assert (code, out) == (2, "")
        assert f"there is no device '{name}' for doubles here" in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_record_goes_on_with_its_own_device_only(bomrl: Bomrl, tmp_path: Path) -> None:
    """Mid-points differ in their last digits, so that two devices are never mixed."""
    for own, other in ((("--device", "cpu"), ()), ((), ("--device", "cpu"))):
        record = str(tmp_path / f"{len(own)}.jsonl")
        assert bomrl(*VERIFY, *own, "--record", record)[0] == 0
        assert bomrl(*VERIFY, *own, "--record", record, "--resume")[0] == 0
        code, _, err = bomrl(*VERIFY, *other, "--record", record, "--resume")
        assert code == 2
        assert "belongs to another run (device " in err


def test_a_fingerprint_names_the_device_only_where_there_is_one() -> None:
    on_host = Fingerprint.of([NO_ADAPTATION], [], "nothing", 0)
    assert "device" not in on_host.versions
    with computing_on("cpu"):
        assert Fingerprint.of([NO_ADAPTATION], [], "nothing", 0).versions["device"].startswith("torch ")


CAMPAIGN = """
theorems = ["contraction_kl_posterior"]
cases = 2

[adaptation]
algorithms = ["kl-posterior"]

[[families]]
kind = "garnet"
states = 4
actions = 2
"""


def test_campaign_on_a_device(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra 'campaign' is not installed")
    from campaign_helpers import rows_of, run, write

    from bomrl_theory.campaign.command import workers_of

    spec = write(tmp_path, CAMPAIGN)
    run(spec, tmp_path / "host")
    with computing_on("cpu"):
        assert workers_of(None, None, None)[0] == "serial"
        run(spec, tmp_path / "device")
        with pytest.raises(InvalidFile, match=r"device is null there and \"torch"):
            run(spec, tmp_path / "host", resume=True)
    with pytest.raises(InvalidFile, match="device is"):
        run(spec, tmp_path / "device", resume=True)
    host, there = rows_of(tmp_path / "host"), rows_of(tmp_path / "device")
    assert "device" not in json.loads((tmp_path / "host" / "campaign.json").read_text())
    keys = ("theorem", "cell", "case", "task", "outcome", "grade")
    assert [[row[key] for key in keys] for row in there] == [[row[key] for key in keys] for row in host]
    assert any(row["decided_by"] == "float64 enclosure on cpu" for row in there)


def test_api_on_a_device() -> None:
    pytest.importorskip("pandas", reason="the extra 'report' is not installed")
    from bomrl_theory import api

    bandit = TaskFamily.new([[[[1], [1]]]], [[[0, 1]]], 0, [1])
    case = api.adapt(bandit, "uniform", lam="1/2")
    assert set(api.verify("contraction_kl_posterior", case, device="cpu")["numbers"]) == {"float64 enclosure on cpu"}
    with pytest.raises(InvalidTask, match="there is no device 'abacus'"):
        api.verify("contraction_kl_posterior", case, device="abacus")
