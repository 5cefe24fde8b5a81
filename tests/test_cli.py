"""The command line as a user meets it: contracts, exit codes, one-line errors, nothing half-written."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Bomrl

from bomrl_theory import cli
from bomrl_theory.tasks.files import save_family
from bomrl_theory.theory.registry import registry
from bomrl_theory.theory.small import stay_or_leave
from bomrl_theory.theory.theorem import TOPICS, Derivation

GOOD: dict[str, Any] = {
    "P": np.array([[[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]]),
    "r": np.array([[[1.0, 0.0], [1.0, 1.0]]]),
    "gamma": np.array(0.8),
    "rho": np.array([1.0, 0.0]),
}


def write_npz(path: Path, **changes: Any) -> str:
    """The good family with some keys replaced; None leaves a key out."""
    np.savez(path, **{key: value for key, value in {**GOOD, **changes}.items() if value is not None})
    return str(path)


def test_list_contract(bomrl: Bomrl) -> None:
    """``list --json`` is an array of the promised keys, one for each theorem."""
    code, out, _ = bomrl("list", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["id"] for row in rows] == list(registry())
    known = {"cases", "families", "best_ratio"}
    assert all(set(row) == {"id", "title", "topic", "status", "source", "obtained"} | known for row in rows)


@pytest.mark.parametrize("columns", [80, 118])
def test_list_for_people_groups_by_topic(bomrl: Bomrl, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Every theorem stands once, under its topic, topics in their order; only the last columns are cut."""
    monkeypatch.setenv("COLUMNS", str(columns))
    known = {row["id"]: row for row in json.loads(bomrl("list", "--json")[1])}
    code, out, _ = bomrl("list")
    lines = [line.strip() for line in out.splitlines()]
    topics = {line.rpartition(" (")[0]: place for place, line in enumerate(lines) if line.endswith(")")}
    topics = {topic: place for topic, place in topics.items() if topic in TOPICS}
    assert code == 0
    assert list(topics) == [topic for topic in TOPICS if topic in topics]
    for theorem in registry().values():
        (place,) = [index for index, line in enumerate(lines) if line.split(" ")[0] == theorem.id]
        below = [topic for topic, start in topics.items() if start < place]
        assert below[-1] == theorem.topic
        assert theorem.status in lines[place]
        assert f" {known[theorem.id]['cases']}/{known[theorem.id]['families']} " in lines[place]
        assert theorem.source.obtained in lines[place] or columns == 80


@pytest.mark.parametrize("spelling", ["surrogate bounds", "surr"])
def test_list_of_one_topic(bomrl: Bomrl, spelling: str) -> None:
    """First letters are enough, and nothing of another topic is listed."""
    code, out, _ = bomrl("list", "--topic", spelling, "--json")
    expected = [theorem.id for theorem in registry().values() if theorem.topic == "surrogate bounds"]
    assert code == 0
    assert expected
    assert [row["id"] for row in json.loads(out)] == expected


def test_verify_contract(bomrl: Bomrl, tmp_path: Path) -> None:
    """``verify --json`` has the promised keys; the refuted theorem's counterexample is saved and replays."""
    code, out, err = bomrl("verify", "--family", "bandit", "--cases", "2", "--seed", "5", "--json")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert (result["cases"], result["seed"], result["exit_code"]) == (2, 5, 0)
    assert [row["id"] for row in result["theorems"]] == list(registry())
    for row in result["theorems"]:
        assert set(row["verdicts"]) == {"HOLDS", "VIOLATED", "UNDECIDED", "OUT_OF_SCOPE"}
        assert row["verdicts"]["UNDECIDED"] == 0
        assert row["not_certified"] == 0
        assert (row["verdicts"]["VIOLATED"] > 0) == (row["status"] == "refuted")
    path = result["counterexamples"]["published_bound-v1"]
    code, out, _ = bomrl("verify", "--replay", path, "--json")
    replayed = json.loads(out)
    assert (code, replayed["verdicts"][0]["verdict"]) == (0, "VIOLATED")
    assert list(tmp_path.iterdir()) == [tmp_path / "counterexamples"]


def test_same_seed_same_output(bomrl: Bomrl) -> None:
    """Two runs with one seed agree in every digit, another seed differs."""
    first, again, other = (
        bomrl(
            "verify", "coverage", "--cases", "3", "--family", "garnet:states=3,branching=2", "--seed", seed, "--json"
        )[1]
        for seed in ("1", "1", "2")
    )
    assert first == again
    assert first != other


def test_workers_change_nothing_but_the_time(bomrl: Bomrl, tmp_path: Path) -> None:
    """The same JSON and the same certificates, byte for byte; without workers there is nothing to share."""
    outputs = []
    for workers in ("1", "2"):
        file = tmp_path / f"{workers}.jsonl"
        options = ("--family", "bandit", "--cases", "2", "--workers", workers, "--certificates", str(file), "--json")
        outputs.append((bomrl("verify", "coverage", "contraction_steps", *options), file.read_bytes()))
    assert outputs[0] == outputs[1]
    code, _, err = bomrl("verify", "coverage", "--workers", "0")
    assert code == 2
    assert "--workers 0" in err


def test_replay_under_another_theorem(bomrl: Bomrl) -> None:
    """A saved case can be put to any theorem; a proved one that held would break the run if violated."""
    _, out, _ = bomrl("verify", "published_bound", "--family", "bandit", "--json")
    path = json.loads(out)["counterexamples"]["published_bound-v1"]
    code, out, _ = bomrl("verify", "contraction_kl_posterior", "--replay", path)
    assert code == 0
    assert "contraction_kl_posterior-v1 on task 0: HOLDS" in out


def test_nothing_in_scope_is_no_pass(bomrl: Bomrl, tmp_path: Path) -> None:
    """A user's theorem whose witness and cases are all out of scope exits with 3."""
    source = Path(cli.__file__).parent / "theorems" / "published_bound_conditional.py"
    text = source.read_text().replace("lam.symbol - THRESHOLD", "-lam.symbol")
    (tmp_path / "vacuous.py").write_text(text)
    code, out, _ = bomrl("verify", "vacuous.py", "--family", "bandit")
    assert code == 3
    assert "nothing in scope" in out


def test_violated_bound_of_a_user_exits_with_1(bomrl: Bomrl, tmp_path: Path) -> None:
    """A false bound in a user's file is caught, shown with its numbers, and saved."""
    source = Path(cli.__file__).parent / "theorems" / "contraction_kl_posterior.py"
    text = source.read_text().replace("bound=over_states(", "bound=over_states(p.symbol / 10**6 * ")
    (tmp_path / "wrong.py").write_text(text)
    code, out, _ = bomrl("verify", "wrong.py", "--family", "bandit")
    assert code == 1
    assert "BROKEN" in out
    assert "replay: bomrl verify wrong.py --replay" in out


@pytest.mark.parametrize("algorithm", ["kl-prior", "kl-posterior", "euclidean", "policy-gradient", "none"])
def test_evaluate_contract(bomrl: Bomrl, tmp_path: Path, algorithm: str) -> None:
    """``evaluate --json`` on a user's npz: promised keys, consistent numbers, every bound decided."""
    family = write_npz(tmp_path / "mine.npz")
    np.save(tmp_path / "phi.npy", np.array([[0.1, 0.9], [0.5, 0.5]]))
    arguments = ("--meta-policy", "phi.npy", "--algorithm", algorithm, "--lambda", "0.1", "--json")
    code, out, _ = bomrl("evaluate", family, *arguments)
    result = json.loads(out)
    assert code == 0
    for returns in (result["expected"], *result["tasks"]):
        assert {"J_star", "J_meta", "J_adapted", "gap"} <= set(returns)
        assert returns["gap"] == pytest.approx(returns["J_star"] - returns["J_adapted"], abs=1e-12)
    assert result["expected"]["J_star"] == pytest.approx(5.0, abs=1e-12)
    assert "no_adaptation-v1" in {bound["id"] for bound in result["bounds"]}
    for bound in result["bounds"]:
        assert {"id", "value", "verdict", "grade"} <= set(bound)
        assert bound["verdict"] in ("HOLDS", "VIOLATED", "OUT_OF_SCOPE")
        if bound["verdict"] == "HOLDS" and bound["id"] != "no_adaptation-v1":
            assert bound["value"] >= result["expected"]["gap"] * (1 - 1e-12)


def test_evaluate_for_people(bomrl: Bomrl) -> None:
    """The table names tasks, expectation, verdicts and grades."""
    code, out, _ = bomrl("evaluate", "chain:tasks=2", "--algorithm", "kl-posterior", "--lambda", "1/10", "--steps", "2")
    assert code == 0
    for expected in ("expected", "no_adaptation-v1", "HOLDS", "certified"):
        assert expected in out


@pytest.mark.parametrize("theorem", list(registry()))
def test_show(bomrl: Bomrl, theorem: str) -> None:
    """Every theorem can be shown, for people and as JSON."""
    code, out, _ = bomrl("show", theorem)
    assert code == 0
    words = " ".join(out.split())  # however wide the terminal is, where long lines are broken
    assert registry()[theorem].title in words
    details = json.loads(bomrl("show", theorem, "--json")[1])
    assert [row["claim"] for row in details["derivations"]] == [d.claim for d in registry()[theorem].derivations]
    assert all(row["confirmed"] for row in details["derivations"])
    assert all(" ".join(row["claim_text"].split()) in words for row in details["derivations"])
    assert details["witness"]["verdict"] == ("VIOLATED" if details["status"] == "refuted" else "HOLDS")


def test_show_runs_derivations_anew(bomrl: Bomrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that SymPy does not confirm is never shown as confirmed."""
    monkeypatch.setattr(Derivation, "holds", lambda step: "slope" not in step.claim)
    steps = registry()["no_adaptation-v1"].derivations
    wrong = sum("slope" in step.claim for step in steps)
    code, out, _ = bomrl("show", "no_adaptation")
    assert code == 0
    assert wrong == out.count("✗ NOT CONFIRMED") == 1
    assert f"{len(steps) - 1} of {len(steps)} steps confirmed" in out


BAD_FAMILIES: list[tuple[str, dict[str, Any], str]] = [
    (
        "row sum",
        {"P": np.array([[[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.9], [0.0, 1.0]]]])},
        r"P[tau=0, s=1, a=0] sums to 0.9",
    ),
    ("nan reward", {"r": np.array([[[1.0, np.nan], [1.0, 1.0]]])}, "r[tau=0, s=0, a=1] is nan"),
    (
        "infinite",
        {"P": np.array([[[[np.inf, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]])},
        "P[tau=0, s=0, a=0, s'=0] is inf",
    ),
    (
        "negative",
        {"P": np.array([[[[1.5, -0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]])},
        "P[tau=0, s=0, a=0, s'=1] = -0.5 is negative",
    ),
    ("gamma", {"gamma": np.array(1.0)}, "gamma = 1.0 is outside [0, 1)"),
    ("rho", {"rho": np.array([0.5, 0.4])}, "rho sums to 0.9"),
    ("shapes", {"r": np.zeros((1, 3, 2))}, "r has shape [1, 3, 2]"),
    ("empty", {"P": np.zeros((0, 2, 2, 2)), "r": np.zeros((0, 2, 2))}, "P is empty"),
    ("missing key", {"rho": None}, "key 'rho' is missing"),
]


@pytest.mark.parametrize(
    ("changes", "message"), [row[1:] for row in BAD_FAMILIES], ids=[row[0] for row in BAD_FAMILIES]
)
@pytest.mark.parametrize("command", ["evaluate", "verify", "report"])
def test_bad_family_file(bomrl: Bomrl, tmp_path: Path, command: str, changes: dict[str, Any], message: str) -> None:
    """One line that names file, value and place; exit code 2; nothing written."""
    path = write_npz(tmp_path / "bad.npz", **changes)
    arguments = {
        "evaluate": ("evaluate", path, "--algorithm", "kl-prior", "--lambda", "1"),
        "verify": ("verify", "--family", path),
        "report": ("report", "--family", path),
    }[command]
    code, out, err = bomrl(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == [Path(path)]


EVALUATE = ("--algorithm", "kl-posterior", "--lambda", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "contraction_kl_posteriori"), "did you mean contraction_kl_posterior-v1"),
        (("list", "--topic", "adaption"), "did you mean adaptation"),
        (("constants", "performance_difference"), "is an identity"),
        (("constants", "coverag"), "did you mean coverage-v1"),
        (("list", "--order", "--algorithms"), "leave one of the two out"),
        (("list", "--topic", "adaptation", "--families"), "leave one of the two out"),
        (("show", "coverag"), "did you mean coverage-v1"),
        (("verify", "--cases", "0"), "--cases 0"),
        (("verify", "--cases", "-3"), "--cases -3"),
        (("verify", "--seed", "-1"), "--seed -1"),
        (("verify", "--family", "frozen-lake"), "did you mean frozen-lake-"),
        (("verify", "--family", "nowhere.npz"), "cannot read nowhere.npz"),
        (("verify", "--family", "truncated.npz"), "truncated.npz is not a readable npz archive"),
        (("verify", "--family", "truncated.json"), "truncated.json is not valid JSON, perhaps truncated"),
        (("verify", "nowhere.py"), "cannot read nowhere.py"),
        (("verify", "broken.py"), "broken.py:2: NameError"),
        (("verify", "typo.py", "--family", "bandit"), "coverage-v1, witness: NameError: name 'Cas' is not defined"),
        (("show", "typo.py", "--order"), "coverage-v1, witness: NameError: name 'Cas' is not defined"),
        (("constants", "typo.py", "--cases", "1"), "coverage-v1, witness: NameError: name 'Cas' is not defined"),
        (("verify", "--replay", "truncated.json"), "truncated.json is not valid JSON"),
        (("verify", "--replay", "family.json"), "family.json is not a case file"),
        (("verify", "--counterexamples", "truncated.json/x"), "cannot write truncated.json/x"),
        (("report", "-o", "truncated.json/x"), "truncated.json: Not a directory"),
        (("report", "-o", "full"), "full"),
        (("search", "coverag"), "did you mean coverage-v1"),
        (("search", "coverage", "--states", "0"), "--states 0"),
        (("search", "coverage", "--gamma", "1"), "gamma = 1 is outside [0, 1)"),
        (("search", "coverage", "--lambda", "2..1"), "--lambda 2..1"),
        (("search", "coverage", "--algorithm", "kl-prio"), "did you mean kl-prior"),
        (("search", "coverage", "--algorithm", "kl-prior"), "speaks about kl-posterior"),
        (("search", "coverage", "--resume", "family.json"), "family.json is not a case file"),
        (("search", "coverage", "-o", "truncated.json/x"), "cannot write truncated.json"),
        (("evaluate", "family.json", "--algorithm", "kl-postrior", "--lambda", "1"), "did you mean kl-posterior"),
        (("evaluate", "family.json", "--algorithm", "kl-prior", "--lambda", "0"), "lambda = 0 must be positive"),
        (
            ("evaluate", "family.json", "--algorithm", "kl-prior", "--lambda", "x"),
            "lambda = 'x' is not a finite",
        ),
        (("evaluate", "family.json", *EVALUATE, "--meta-policy", "zero.npy"), "zero.npy[s=0, a=1] is 0"),
        (
            ("evaluate", "family.json", *EVALUATE, "--meta-policy", "wide.npy"),
            "the family asks for [2, 2]",
        ),
        (("evaluate", "family.json", *EVALUATE, "--meta-policy", "none.npy"), "cannot read none.npy"),
        (("evaluate", "garnet:states=0", *EVALUATE), "states = 0; it must be at least 1"),
        (("evaluate", "garnet:states=10000000", *EVALUATE), "lower a size"),
        (("evaluate", "garnet:gamma=1", *EVALUATE), "gamma = 1 is outside [0, 1)"),
        (("evaluate", "garnet:colour=2", *EVALUATE), "unknown parameter of garnet 'colour'"),
        (("evaluate", "gymnasium:FrozenLake-v9", *EVALUATE), "did you mean FrozenLake"),
        (("evaluate", "gymnasium:CartPole-v1", *EVALUATE), "no transition table"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_arguments(bomrl: Bomrl, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """Usage errors are one line with a remedy, exit with 2 and leave no file behind."""
    save_family(stay_or_leave(), tmp_path / "family.json")
    save_family(stay_or_leave(), tmp_path / "whole.npz")
    (tmp_path / "truncated.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    (tmp_path / "truncated.json").write_text((tmp_path / "family.json").read_text()[:-20])
    (tmp_path / "broken.py").write_text("# a typo\nTHEOREM = Theorm()\n")
    source = (Path(cli.__file__).parent / "theorems" / "coverage.py").read_text()
    (tmp_path / "typo.py").write_text(source.replace("witness=lambda: Case.", "witness=lambda: Cas."))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    np.save(tmp_path / "zero.npy", np.array([[1.0, 0.0], [0.5, 0.5]]))
    np.save(tmp_path / "wide.npy", np.full((2, 3), 1 / 3))
    before = sorted(tmp_path.rglob("*"))
    code, out, err = bomrl(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_search_contract(bomrl: Bomrl, tmp_path: Path) -> None:
    """``search --json`` has the promised keys; what it saves replays to the same numbers, and is resumed from."""
    arguments = ("search", "no_adaptation", "--starts", "1", "--states", "1", "--gamma", "1/2", "-o", "worst.json")
    code, out, err = bomrl(*arguments, "--json")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert {"id", "ratio", "violated", "best", "simple", "candidates", "finished", "seed", "exit_code"} <= set(result)
    assert result["ratio"] >= 0.999
    assert result["simple"]["gamma"] == "1/2"
    code, out, _ = bomrl("verify", "--replay", "worst.json", "--json")
    assert (code, json.loads(out)["verdicts"][0]["left"]) == (0, result["simple"]["left"])
    code, out, _ = bomrl(*arguments, "--resume", "worst.json")
    assert code == 0
    assert "HOLDS with left/bound" in out
    assert "cannot be lowered by more than" in out
    assert "replay: bomrl verify --replay worst.json" in out
    assert list(tmp_path.iterdir()) == [tmp_path / "worst.json"]


def test_missing_option_is_usage(bomrl: Bomrl) -> None:
    """click's own errors keep exit code 2."""
    code, _, err = bomrl("evaluate", "bandit", "--algorithm", "none")
    assert code == 2
    assert "--lambda" in err


def examples_of(bomrl: Bomrl, command: str) -> list[str]:
    """The lines under "Examples:" in a command's help."""
    code, out, _ = bomrl(command, "--help")
    assert code == 0
    return [line.strip() for line in out.split("Examples:")[1].splitlines() if line.strip()]


@pytest.mark.parametrize("command", sorted(cli.cli.commands))
def test_help_has_examples(bomrl: Bomrl, command: str) -> None:
    """Every command's help carries examples of itself, or of what makes its input."""
    examples = examples_of(bomrl, command)
    assert any(line.startswith(f"bomrl {command}") for line in examples)
    assert all(line.split()[1] in cli.cli.commands for line in examples)


@pytest.mark.parametrize("command", ["verify", "evaluate", "unseen", "search", "train", "list", "show"])
def test_the_first_example_works_when_pasted(bomrl: Bomrl, command: str) -> None:
    """The others take minutes, or continue what an earlier example made."""
    name, *arguments = shlex.split(examples_of(bomrl, command)[0])
    code, out, _ = bomrl(*arguments)
    assert name == "bomrl"
    assert code == 0
    assert out


def test_interrupt_keeps_what_was_decided(bomrl: Bomrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with the partial table and exit code 130."""
    import bomrl_theory.verify.work as work_module

    judged = []
    original = work_module.judge

    def judge_some(*arguments: Any, **settings: Any) -> Any:
        judged.append(1)
        if len(judged) > 30:
            raise KeyboardInterrupt
        return original(*arguments, **settings)

    monkeypatch.setattr(work_module, "judge", judge_some)
    code, out, _ = bomrl("verify", "--family", "bandit")
    assert code == 130
    assert "interrupted: the table holds what was decided until then" in out


def test_unexpected_bug_is_not_hidden(bomrl: Bomrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only errors that input causes become one line; a bug keeps its traceback."""
    monkeypatch.setattr(cli, "_theorems", lambda names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bomrl("verify", "coverage", "--family", "bandit")


@pytest.mark.parametrize(
    "command",
    ["train bandit:arms=2 --iterations 1 -o {}", "verify coverage --cases 1 --record {}", "report --cases 1 -o {}"],
)
def test_a_name_that_the_system_refuses_is_one_line(bomrl: Bomrl, command: str) -> None:
    code, out, err = bomrl(*command.format("x" * 3000).split())
    (line,) = err.splitlines()
    assert (code, out) == (2, "")
    assert line.startswith("error: cannot use ")
    assert "File name too long; give another name" in line
    assert len(line) < 300
