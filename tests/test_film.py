"""Pictures of locomotion; skipped where nothing can draw them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

PIP = "python -m pip install 'bomrl-theory[mujoco]'"
torch: Any = pytest.importorskip("torch", reason=f"continuous control needs torch: {PIP}")
pytest.importorskip("mujoco", reason=f"locomotion needs mujoco: {PIP}")
pytest.importorskip("gymnasium", reason=f"locomotion needs gymnasium: {PIP}")

from helpers import Bomrl  # noqa: E402
from PIL import Image  # noqa: E402  (all need the packages above)

from bomrl_theory.control.catalogue import simulator_named  # noqa: E402
from bomrl_theory.control.config import Config  # noqa: E402
from bomrl_theory.control.locomotion.camera import Camera  # noqa: E402
from bomrl_theory.control.locomotion.film import Film, film  # noqa: E402
from bomrl_theory.control.locomotion.rollout import Locomotion  # noqa: E402
from bomrl_theory.control.policy import GaussianNetwork  # noqa: E402
from bomrl_theory.control.train import ControlRun, Trainer  # noqa: E402
from bomrl_theory.errors import InvalidFile, InvalidTask, MissingLibrary  # noqa: E402
from bomrl_theory.report.film import draw_film_strip, save_animation  # noqa: E402

H = 12


def simulator(task: str = "half-cheetah-vel") -> Locomotion:
    built = simulator_named(task, preset="finn2017", horizon=H)
    assert isinstance(built, Locomotion)
    return built


def policy_of(built: Locomotion) -> tuple[GaussianNetwork, Any]:
    policy = GaussianNetwork(built.observations, built.actions, (4,))
    return policy, policy.start(torch.Generator().manual_seed(0)).expand(2, -1)


@pytest.fixture(scope="module")
def taken() -> Film:
    """The cheetah at two goals, a picture every four steps."""
    built = simulator()
    try:
        with Camera(built.model, 8, 8, 1.0, 0.0):
            pass
    except MissingLibrary as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(2)
    return film(built, *policy_of(built), np.array([[1.0], [-2.0]]), rng, every=4, height=60, width=80)


def test_a_film_shows_the_rollout_it_was_made_from(taken: Film) -> None:
    """Same seed, same trajectory; the pictures change and show something."""
    built, seen = simulator(), []
    batch = built.rollout(
        *policy_of(built),
        taken.goals[:, None],
        1,
        np.random.default_rng(2),
        watch=lambda qpos: seen.append(qpos.copy()),
    )
    assert taken.pictures.shape == (2, 4, 60, 80, 3)
    assert taken.steps.tolist() == [0, 4, 8, 12]
    np.testing.assert_array_equal(taken.position, np.array(seen)[:, :, 0].T)
    velocity = np.diff(taken.position, axis=1) / taken.dt
    controls = np.clip(batch.actions[:, 0].numpy(), -1, 1)
    expected = -np.abs(velocity - taken.goals[:, None]) - 0.05 * (controls**2).sum(-1)
    np.testing.assert_allclose(batch.rewards[:, 0].numpy(), expected, rtol=1e-12)
    assert taken.velocity(1, 2, 6) == pytest.approx(velocity[1, 2:6].mean())
    assert len({picture.tobytes() for picture in taken.pictures.reshape(8, -1)}) == 8
    assert taken.pictures.std() > 20


def test_strips_and_animations_are_written_whole(taken: Film, tmp_path: Path) -> None:
    strip, animation = tmp_path / "strip.png", tmp_path / "cheetah.gif"
    draw_film_strip(taken, strip, columns=3)
    save_animation(taken, animation)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cheetah.gif", "strip.png"]
    with Image.open(strip) as image:
        assert np.asarray(image).std() > 20
    with Image.open(animation) as image:
        assert (getattr(image, "n_frames", 1), image.size, image.info["duration"]) == (4, (80, 120), 200)
    with pytest.raises(InvalidFile, match=r"unknown ending '.mov'"):
        save_animation(taken, tmp_path / "cheetah.mov")


def test_an_end_is_told(taken: Film, tmp_path: Path) -> None:
    """A trajectory that ended early is drawn only so far."""
    draw_film_strip(taken, tmp_path / "whole.png")
    ended = Film(**{**vars(taken), "steps_taken": np.array([H, 5])})
    draw_film_strip(ended, tmp_path / "ended.png")
    assert (tmp_path / "whole.png").read_bytes() != (tmp_path / "ended.png").read_bytes()


def test_what_is_missing_to_draw_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    built = simulator()
    monkeypatch.setenv("MUJOCO_GL", "nothing")
    with pytest.raises(MissingLibrary, match=r"the backend 'nothing' does not start.*apt-get install libegl1"):
        Camera(built.model, 8, 8, 1.0, 0.0)
    with pytest.raises(InvalidTask, match="every is 0"):
        film(built, *policy_of(built), np.ones((2, 1)), np.random.default_rng(0), every=0)


# --- of a trained meta-policy ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one iteration."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    config = Config(learner="maml", iterations=1, tasks=2, trajectories=2)
    ControlRun(directory, Trainer(simulator_named("half-cheetah-dir", horizon=H), config), seed=0).go_on()
    return directory


def test_a_trained_run_is_filmed(bomrl: Bomrl, trained: Path, taken: Film) -> None:
    """A strip and an animation; goals of one's own, or both directions."""
    code, out, _ = bomrl("adapt", str(trained), "--film", "strip.png", "--steps", "1")
    assert (code, out) == (0, "film: strip.png\n")
    with Image.open("strip.png") as strip:
        assert strip.width > 500
    assert bomrl("adapt", str(trained), "--film", "one.gif", "--steps", "0", "--goal", "-1")[0] == 0
    with Image.open("one.gif") as animation:
        assert getattr(animation, "n_frames", 0) > 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--film", "strip.txt"), "end in .png or .pdf"),
        (("--film", "strip.png", "--goal", "0.5"), "goal 0.5 is no direction"),
        (("--goal", "1"), "--goal is for --film"),
    ],
)
def test_what_cannot_be_filmed_is_told(bomrl: Bomrl, trained: Path, arguments: tuple[str, ...], told: str) -> None:
    code, _, err = bomrl("adapt", str(trained), *arguments)
    assert code == 2
    assert told in err
    assert not Path("strip.png").exists()


def test_one_run_is_filmed(bomrl: Bomrl, trained: Path) -> None:
    assert "shows one run; 2 are given" in bomrl("adapt", str(trained), str(trained), "--film", "strip.png")[2]
