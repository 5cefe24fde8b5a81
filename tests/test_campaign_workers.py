"""Whoever works on a campaign, and whoever is killed: the same bytes, nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="campaigns are written as Parquet: pip install 'bomrl-theory[campaign]'")
pytest.importorskip("joblib", reason="campaigns run on processes through joblib: pip install 'bomrl-theory[campaign]'")

import pyarrow.parquet as pq
from campaign_helpers import SMALL, content, run, write
from helpers import Bomrl

from bomrl_theory.campaign.backends import Processes, done_by
from bomrl_theory.campaign.cells import chunks_of
from bomrl_theory.campaign.chunk import Work, judge_chunk, own_version
from bomrl_theory.campaign.command import Campaign
from bomrl_theory.errors import InvalidFile, InvalidTask


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Campaign]:
    """The small campaign done in this process: its file's folder, and itself."""
    folder = tmp_path_factory.mktemp("serial")
    return folder, run(write(folder), folder / "out")


# --- whoever does it ------------------------------------------------------------------------------


def test_processes_give_the_same_bytes(serial: tuple[Path, Campaign], tmp_path: Path) -> None:
    """Two processes and this one write the same files."""
    folder, _ = serial
    run(folder / "spec.toml", tmp_path / "out", "processes")
    assert content(tmp_path / "out") == content(folder / "out")


def test_a_resumed_campaign_does_only_the_rest(serial: tuple[Path, Campaign], tmp_path: Path) -> None:
    """Finished files are not touched, half-written ones are swept away."""
    folder, _ = serial
    out = tmp_path / "out"
    campaign = Campaign.begin(folder / "spec.toml", out)
    works = list(campaign.works())
    campaign.run(judge_chunk(work) for work in works[1::2])
    before = {file: file.stat().st_mtime_ns for file in campaign.store.files()}
    half = out / "cases" / "cell=0" / ".chunk-000000.parquet.x.parquet"
    half.write_bytes(b"PAR1")
    again = Campaign.begin(folder / "spec.toml", out, resume=True)
    assert [work.chunk for work in again.works()] == [work.chunk for work in works[::2]]
    assert not half.exists()
    again.run(judge_chunk(work) for work in again.works())
    again.summary()
    assert content(out) == content(folder / "out")
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_folder_of_another_campaign_is_refused(serial: tuple[Path, Campaign], tmp_path: Path) -> None:
    """The message names the difference; without --resume any folder that is not empty is refused."""
    folder, _ = serial
    with pytest.raises(InvalidFile, match="is not empty; go on with --resume"):
        Campaign.begin(folder / "spec.toml", folder / "out")
    other = write(tmp_path, SMALL.replace("cases = 4", "cases = 5"))
    with pytest.raises(InvalidFile, match="another campaign: cases is 4 there and 5 here"):
        Campaign.begin(other, folder / "out", resume=True)
    other = write(tmp_path, SMALL.replace('"random"]', '"random", 1]', 1))
    with pytest.raises(InvalidFile, match=r'adaptation.lambdas is \["random"\] there and \["random", "1"\] here'):
        Campaign.begin(other, folder / "out", resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(InvalidFile, match=r"holds no campaign\.json"):
        Campaign.begin(other, tmp_path / "mine", resume=True)


def test_a_damaged_file_is_named(serial: tuple[Path, Campaign], tmp_path: Path) -> None:
    """Its place, and what to do."""
    folder, _ = serial
    campaign = Campaign.begin(folder / "spec.toml", tmp_path / "out")
    campaign.run(judge_chunk(work) for work in list(campaign.works())[:1])
    (file,) = campaign.store.files()
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InvalidFile, match=r"chunk-000000\.parquet is damaged .* delete it, and go on with --resume"):
        campaign.summary()


def test_another_version_does_no_work(serial: tuple[Path, Campaign]) -> None:
    """A worker whose package is another one refuses."""
    _, campaign = serial
    chunk = next(chunks_of(campaign.cells, 1))
    with pytest.raises(InvalidTask, match=f"a worker has bomrl-theory {own_version()}, the campaign began with 0.0.0"):
        judge_chunk(Work("0.0.0", 0, chunk, 1, campaign.spec.sources, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backend", "ray"), "--backend ray is not known; choose one of serial, processes, dask"),
        (("--backend", "dask"), "--backend dask and --scheduler ADDRESS go together"),
        (("--backend", "serial", "--scheduler", "tcp://a:1"), "--backend dask and --scheduler ADDRESS go together"),
        (("--workers", "0"), "--workers 0: nobody would work"),
        (("--backend", "serial", "--workers", "3"), "--workers 3 is for --backend processes"),
    ],
)
def test_options_that_do_not_go_together(bomrl: Bomrl, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    """Refused before anything is written."""
    write(tmp_path)
    code, _, err = bomrl("campaign", "spec.toml", "-o", "out", *options)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


LONG = SMALL.replace("cases = 4", "cases = 200")


def begun(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A longer campaign in a process of its own, with some chunks finished."""
    write(folder, LONG)
    command = [sys.executable, "-m", "bomrl_theory", "campaign", "spec.toml", "-o", "out", *options]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list((folder / "out").glob("cases/*/chunk-*.parquet"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def finished_bytes(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if name.endswith(".parquet")}


def test_a_killed_campaign_goes_on(tmp_path: Path) -> None:
    """After kill -9 every file is whole, nobody works on, and --resume has the rest to do."""
    process = begun(tmp_path, "--workers", "2")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    process.kill()
    process.communicate()
    kept = finished_bytes(tmp_path / "out")
    assert all(pq.read_metadata(tmp_path / "out" / name).num_rows > 0 for name in kept)
    again = Campaign.begin(tmp_path / "spec.toml", tmp_path / "out", resume=True)
    assert len(list(chunks_of(again.cells, again.spec.chunk))) - len(again.open) == len(kept)
    # What was finished before the kill is what this process makes of the same chunks.
    other = Campaign.begin(tmp_path / "spec.toml", tmp_path / "other")
    other.run(
        judge_chunk(work)
        for work in other.works()
        if str(other.store.file(work.chunk).relative_to(other.store.path)) in kept
    )
    assert finished_bytes(tmp_path / "other") == kept
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_tells_how_to_go_on(tmp_path: Path) -> None:
    """What is finished is summed up, and the command to go on is shown."""
    process = begun(tmp_path, "--workers", "2")
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "bomrl campaign spec.toml --output out --workers 2 --resume" in err
    assert "Traceback" not in err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert not summary["finished"]
    assert 0 < summary["cases_done"] < summary["cases"]
    assert summary["verdicts"] == sum(pq.read_metadata(f).num_rows for f in (tmp_path / "out").rglob("*.parquet"))
    assert f"{summary['cases_done']} of {summary['cases']} cases" in out


def test_a_killed_worker_loses_nothing(serial: tuple[Path, Campaign], tmp_path: Path) -> None:
    """One of two processes is killed while it works; its chunks are done again, to the same bytes."""
    folder, _ = serial
    campaign = Campaign.begin(folder / "spec.toml", tmp_path / "out")
    pool = Processes(2)
    told = 0

    def kill_one(done: object) -> None:
        nonlocal told
        told += 1
        if told == 2:
            victim = next(iter(pool._executor._processes))
            os.kill(victim, signal.SIGKILL)

    campaign.run(done_by(pool, campaign.works()), kill_one)
    campaign.summary()
    assert content(tmp_path / "out") == content(folder / "out")


@pytest.mark.parametrize(
    ("module", "options", "extra"),
    [
        ("joblib.externals", ("--workers", "2"), "campaign"),
        ("distributed", ("--scheduler", "tcp://127.0.0.1:9"), "dask"),
    ],
)
def test_a_missing_extra_is_named(
    bomrl: Bomrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, options: tuple[str, ...], extra: str
) -> None:
    """With the line that installs it."""
    write(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = bomrl("campaign", "spec.toml", "-o", "out", *options)
    assert code == 2
    assert f"python -m pip install 'bomrl-theory[{extra}]'" in err
    assert not (tmp_path / "out").exists()


def test_without_pyarrow_there_is_still_help(tmp_path: Path) -> None:
    """The example is printed; a campaign names the extra and writes nothing."""
    program = "import sys; sys.modules['pyarrow'] = None; from bomrl_theory.cli import main; main()"

    def called(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "campaign", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert called("--example").returncode == 0
    write(tmp_path)
    refused = called("spec.toml", "-o", "out")
    assert refused.returncode == 2
    assert "bomrl-theory[campaign]" in refused.stderr
    assert not (tmp_path / "out").exists()
