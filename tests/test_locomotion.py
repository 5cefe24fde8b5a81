"""Locomotion: the same trajectories as Gymnasium's environments, the literature's rewards, and clear ends."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PIP = "python -m pip install 'bomrl-theory[mujoco]'"
torch: Any = pytest.importorskip("torch", reason=f"continuous control needs torch: {PIP}")
mujoco: Any = pytest.importorskip("mujoco", reason=f"locomotion needs mujoco: {PIP}")
gymnasium: Any = pytest.importorskip("gymnasium", reason=f"locomotion needs gymnasium: {PIP}")
pytest.importorskip("imageio", reason="Gymnasium's own environments need imageio: python -m pip install imageio")

from bomrl_theory.control import locomotion  # noqa: E402  (all need the packages above)
from bomrl_theory.control.batch import Batch  # noqa: E402
from bomrl_theory.control.catalogue import SIMULATORS, simulator_named  # noqa: E402
from bomrl_theory.control.locomotion.presets import PRESETS  # noqa: E402
from bomrl_theory.control.locomotion.rollout import Locomotion  # noqa: E402
from bomrl_theory.control.policy import GaussianNetwork  # noqa: E402
from bomrl_theory.errors import InvalidTask, MissingExtra, UnknownName  # noqa: E402

GYMNASIUM = {"half-cheetah": ("HalfCheetah-v5", {}), "ant": ("Ant-v5", {"include_cfrc_ext_in_observation": False})}
TASKS = tuple(SIMULATORS)
T, R, H = 2, 2, 25


def built(task: str, preset: str = "promp", **settings: Any) -> Locomotion:
    simulator = simulator_named(task, preset=preset, **{"horizon": H, "threads": 2} | settings)
    assert isinstance(simulator, Locomotion)
    return simulator


def policy_of(simulator: Locomotion, dtype: Any = torch.float64) -> tuple[GaussianNetwork, Any]:
    """A small network, with other parameters on each task."""
    policy = GaussianNetwork(simulator.observations, simulator.actions, (8,))
    generator = torch.Generator().manual_seed(3)
    return policy, torch.stack([policy.start(generator, dtype) for _ in range(T)])


def rolled(simulator: Locomotion, seed: int = 1, dtype: Any = torch.float64) -> tuple[Batch, np.ndarray]:
    rng = np.random.default_rng(seed)
    tasks = simulator.draw_tasks(T, rng)
    return simulator.rollout(*policy_of(simulator, dtype), tasks, R, rng), tasks


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Gymnasium's half-cheetah makes MuJoCo write a log wherever it is run."""
    monkeypatch.chdir(tmp_path)


class Replay:
    """Gymnasium's own environment from the same start, under the same actions: one trajectory."""

    def __init__(
        self, simulator: Locomotion, start: tuple[np.ndarray, np.ndarray], actions: np.ndarray, **weights: Any
    ):
        name, settings = GYMNASIUM[simulator.robot.file.removesuffix(".xml").replace("_", "-")]
        env: Any = gymnasium.make(name, **settings, **weights).unwrapped
        env.reset(seed=0)
        mujoco.mj_resetData(env.model, env.data)
        env.set_state(*start)
        self.controls = np.clip(simulator.preset.action_scale * actions, -1, 1)
        self.observations, self.infos, self.ended, self.contact = [env._get_obs()], [], [], []
        for control in self.controls:
            observation, _, terminated, _, info = env.step(control)
            self.observations.append(observation)
            self.infos.append(info)
            self.ended.append(terminated)
            self.contact.append(contact_at_the_state(env))
            if terminated:
                break

    def terms(self, key: str) -> np.ndarray:
        return np.array([info[key] for info in self.infos])


def contact_at_the_state(env: Any) -> float:
    """The squared contact forces by forward dynamics at the state reached, on data of its own."""
    data = mujoco.MjData(env.model)
    state = mujoco.mjtState.mjSTATE_INTEGRATION
    values = np.empty(mujoco.mj_stateSize(env.model, state))
    mujoco.mj_getState(env.model, env.data, values, state)
    mujoco.mj_setState(env.model, data, values, state)
    mujoco.mj_forward(env.model, data)
    mujoco.mj_rnePostConstraint(env.model, data)
    return float(sum(min(1.0, abs(force)) ** 2 for force in data.cfrc_ext.ravel()))


def replays(simulator: Locomotion, batch: Batch, seed: int = 1, **weights: Any) -> list[Replay]:
    rng = np.random.default_rng(seed)
    simulator.draw_tasks(T, rng)
    starts = simulator.start_states(T * R, rng)
    actions = batch.actions.flatten(0, 1).numpy()
    return [Replay(simulator, (starts[0][n], starts[1][n]), actions[n], **weights) for n in range(T * R)]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", TASKS)
def test_trajectories_are_those_of_gymnasium_to_the_last_bit(task: str, preset: str) -> None:
    """Observations, and the velocity that rewards are made of, under actions that are often cut off."""
    simulator = built(task, preset)
    aim = simulator.preset.aim
    simulator.preset = replace(simulator.preset, control_cost=0.0, contact_cost=0.0, alive_bonus=0.0, healthy=None)
    batch, tasks = rolled(simulator)
    for n, replay in enumerate(
        replays(simulator, batch, **({"terminate_when_unhealthy": False} if "ant" in task else {}))
    ):
        np.testing.assert_array_equal(batch.observations.flatten(0, 1)[n], replay.observations)
        goal, velocity = tasks[n // R, 0], replay.terms("x_velocity")
        motion = -np.abs(velocity - goal) if aim == "velocity" else goal * velocity
        np.testing.assert_array_equal(batch.rewards.flatten(0, 1)[n], motion)
        assert len(np.unique(velocity)) == H
    assert (np.abs(simulator.preset.action_scale * batch.actions.numpy()) > 1).any() == (preset == "finn2017")


@pytest.mark.parametrize("task", TASKS)
def test_observing_contact_forces_leaves_the_motion_as_it_is(task: str) -> None:
    """The sensor, and forward dynamics after each step, change no bit."""
    simulator, bare = built(task, "finn2017"), built(task, "finn2017")
    bare.preset = replace(bare.preset, contact_cost=0.0)
    assert torch.equal(rolled(simulator)[0].observations, rolled(bare)[0].observations)


@pytest.mark.parametrize(
    ("task", "preset", "control", "alive", "ends"),
    [
        ("half-cheetah-vel", "finn2017", 0.05, 0.0, None),
        ("half-cheetah-dir", "promp", 0.05, 0.0, None),
        ("ant-vel", "finn2017", 0.005, 1 + 0.05, (0.2, 1.0)),
        ("ant-dir", "finn2017", 0.005, 0.05, (0.2, 1.0)),
        ("ant-vel", "promp", 0.5, 1.0, (0.0, 1.0)),
        ("ant-dir", "promp", 0.5, 1.0, (0.0, 1.0)),
    ],
)
def test_rewards_are_the_literatures(
    task: str, preset: str, control: float, alive: float, ends: tuple[float, float] | None
) -> None:
    """Against scalars by hand from Gymnasium's own velocity, control cost and end."""
    simulator = built(task, preset)
    batch, tasks = rolled(simulator)
    weights: dict[str, Any] = {"ctrl_cost_weight": control}
    if ends is not None:
        weights |= {"healthy_z_range": ends, "healthy_reward": alive}
    contacts, apart = 0.0, []
    for n, replay in enumerate(replays(simulator, batch, **weights)):
        steps = len(replay.infos)
        assert int(batch.alive.flatten(0, 1)[n].sum()) == steps
        goal = float(tasks[n // R, 0])
        for t, info in enumerate(replay.infos):
            motion = -abs(info["x_velocity"] - goal) if task.endswith("vel") else goal * info["x_velocity"]
            expected = motion + info["reward_ctrl"] + alive
            if ends is not None:
                expected -= 0.0005 * replay.contact[t]
                contacts += replay.contact[t]
                apart.append(abs(0.0005 * replay.contact[t] + info["reward_contact"]))
            assert float(batch.rewards.flatten(0, 1)[n, t]) == pytest.approx(expected, rel=1e-12, abs=1e-12)
            assert info["reward_ctrl"] == pytest.approx(-control * sum(u * u for u in replay.controls[t]))
    assert (contacts > 0) == (ends is not None)
    # What Ant-v5 reads belongs to another stage of the integrator: near, but not the same.
    assert not apart or 0 < np.mean(apart) < 2e-3


def test_presets_differ_as_documented() -> None:
    """What returns depend on, written down once more."""
    rng = np.random.default_rng(0)
    for task, preset, low, high in [
        ("half-cheetah-vel", "finn2017", 0, 2),
        ("half-cheetah-vel", "promp", 0, 3),
        ("ant-vel", "finn2017", 0, 3),
        ("ant-vel", "promp", 0, 3),
    ]:
        goals = built(task, preset).draw_tasks(4000, rng)
        assert goals.shape == (4000, 1)
        assert (low, high) == (pytest.approx(goals.min(), abs=0.01), pytest.approx(goals.max(), abs=0.01))
    for task in ("half-cheetah-dir", "ant-dir"):
        for preset in PRESETS:
            goals = built(task, preset).draw_tasks(4000, rng)
            assert set(np.unique(goals)) == {-1.0, 1.0}
            assert abs(goals.mean()) < 0.1
    for preset, horizon, scale, spread in (("finn2017", 200, 1.0, 0.01), ("promp", 100, 0.1, 0.1 / np.sqrt(3))):
        for task in TASKS:
            simulator = built(task, preset, horizon=None)
            assert (simulator.horizon, simulator.preset.action_scale, simulator.gamma) == (horizon, scale, 0.99)
            position, velocity = simulator.start_states(500, rng)
            assert (position - simulator.model.qpos0).std() == pytest.approx(spread, rel=0.1)
            assert velocity.std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("task", ["half-cheetah-vel", "ant-dir"])
def test_seeds_reproduce_and_threads_do_not_matter(task: str) -> None:
    first, again, other = (rolled(built(task, threads=n), seed)[0] for n, seed in ((1, 5), (3, 5), (1, 6)))
    for name in ("observations", "actions", "rewards", "alive", "log_density"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.actions, other.actions)
    simulator = built(task)
    rolled(simulator, 6)
    assert torch.equal(rolled(simulator, 5)[0].rewards, first.rewards), "a rollout leaves something for the next one"


def test_torch_has_one_thread_while_the_simulator_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads would spin between two small products; afterwards, also after an error, it has its own again."""
    seen: list[int] = []
    act = GaussianNetwork.act
    monkeypatch.setattr(GaussianNetwork, "act", lambda *given: (seen.append(torch.get_num_threads()), act(*given))[1])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rolled(built("half-cheetah-vel"))
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(GaussianNetwork, "act", lambda *given: act(*given) * torch.nan)
        with pytest.raises(InvalidTask, match="action is not finite"):
            rolled(built("half-cheetah-vel"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_another_integrator_moves_otherwise() -> None:
    own, named, other = (rolled(built("ant-vel", integrator=name))[0] for name in (None, "RK4", "implicitfast"))
    assert torch.equal(own.observations, named.observations)
    assert torch.equal(own.observations[:, :, 0], other.observations[:, :, 0])
    assert not torch.equal(own.observations[:, :, 1], other.observations[:, :, 1])


def test_the_batch_is_what_learners_expect() -> None:
    """Shapes, the policy's own actions and their density, and the dtype of theta."""
    simulator = built("half-cheetah-vel")
    batch, _ = rolled(simulator, dtype=torch.float32)
    policy, theta = policy_of(simulator, torch.float32)
    assert batch.observations.shape == (T, R, H + 1, 17)
    assert batch.actions.shape == (T, R, H, 6)
    assert batch.steps == T * R * H
    assert {x.dtype for x in (batch.observations, batch.actions, batch.rewards, batch.log_density)} == {torch.float32}
    distribution = policy.distribution(theta, batch.observations[:, :, :-1].flatten(1, 2))
    assert torch.equal(batch.log_density.flatten(1), distribution.log_prob(batch.actions.flatten(1, 2)))
    spread = (batch.actions.flatten(1, 2) - distribution.mean).std()
    assert float(spread) == pytest.approx(1.0, rel=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the policy is not tried on one")
def test_a_policy_on_a_gpu_gives_the_same_numbers() -> None:
    """Physics stay on the processors; over a few steps, because trajectories diverge from the last bit on."""
    simulator = built("half-cheetah-vel", horizon=5)
    policy, theta = policy_of(simulator)
    tasks = np.ones((T, 1))
    here = simulator.rollout(policy, theta, tasks, R, np.random.default_rng(4))
    there = simulator.rollout(policy, theta.cuda(), tasks, R, np.random.default_rng(4))
    for name in ("observations", "actions", "rewards", "alive", "log_density"):
        assert getattr(there, name).is_cuda
        torch.testing.assert_close(getattr(there, name).cpu(), getattr(here, name), rtol=1e-6, atol=1e-6)


def with_start(simulator: Locomotion, monkeypatch: pytest.MonkeyPatch, trajectory: int, velocity: float) -> None:
    """One trajectory starts moving upwards."""
    usual = simulator.start_states

    def moved(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        qpos, qvel = usual(count, rng)
        qvel[trajectory, 2] = velocity
        return qpos, qvel

    monkeypatch.setattr(simulator, "start_states", moved)


def test_an_ant_that_leaves_the_healthy_range_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the step Gymnasium says, and then earns nothing and stays where it is seen; the others go on."""
    simulator = built("ant-vel", "finn2017")
    undisturbed, _ = rolled(simulator)
    with_start(simulator, monkeypatch, 2, 3.0)
    batch, _ = rolled(simulator)
    replay = replays(simulator, batch)[2]
    steps = len(replay.infos)
    assert replay.ended[-1]
    assert 1 < steps < H
    alive, seen = batch.alive[1, 0], batch.observations[1, 0]
    assert alive.tolist() == [True] * steps + [False] * (H - steps)
    np.testing.assert_array_equal(seen[: steps + 1], replay.observations)
    assert (seen[steps:] == seen[steps]).all()
    assert not batch.rewards[1, 0, steps:].any()
    assert batch.rewards[1, 0, steps - 1] != 0
    assert batch.unstable is not None
    assert not batch.unstable.any()
    for t, r in ((0, 0), (0, 1), (1, 1)):
        assert torch.equal(batch.observations[t, r], undisturbed.observations[t, r])


def test_physics_that_blow_up_are_marked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """MuJoCo would go on from its resting position, and write a file where the user happens to be."""
    simulator = built("half-cheetah-vel", "finn2017")
    undisturbed, _ = rolled(simulator)
    with_start(simulator, monkeypatch, 1, 1e9)
    batch, _ = rolled(simulator)
    assert batch.unstable is not None
    assert batch.unstable.tolist() == [[False, True], [False, False]]
    assert not batch.alive[0, 1].any()
    assert not batch.rewards[0, 1].any()
    assert (batch.observations[0, 1] == batch.observations[0, 1, 0]).all()
    assert float(batch.observations[0, 1, 0, 10]) == 1e9
    assert torch.equal(batch.rewards[1], undisturbed.rewards[1])
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_numbers_that_are_not_finite_are_named() -> None:
    simulator = built("half-cheetah-vel")
    policy, theta = policy_of(simulator)
    tasks, rng = np.ones((T, 1)), np.random.default_rng(0)
    theta[1, 5] = np.nan
    with pytest.raises(InvalidTask, match="theta of task 1 is not finite"):
        simulator.rollout(policy, theta, tasks, R, rng)
    _, theta = policy_of(simulator)
    theta[1, -1] = 1e4  # the scale of an action overflows
    with pytest.raises(InvalidTask, match="action is not finite on task 1, trajectory 0, step 0"):
        simulator.rollout(policy, theta, tasks, R, rng)
    with pytest.raises(InvalidTask, match="finite goals of shape"):
        simulator.rollout(policy, policy_of(simulator)[1], np.full((T, 1), np.inf), R, rng)


def test_sizes_that_do_not_fit_are_named() -> None:
    simulator = built("half-cheetah-vel")
    policy, theta = policy_of(simulator)
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidTask, match=r"theta has shape \[2, "):
        simulator.rollout(policy, theta, np.ones((3, 1)), R, rng)
    with pytest.raises(InvalidTask, match=r"finite goals of shape \[T, 1\]"):
        simulator.rollout(policy, theta[:0], np.ones((0, 1)), R, rng)
    with pytest.raises(InvalidTask, match="trajectories is 0"):
        simulator.rollout(policy, theta, np.ones((T, 1)), 0, rng)
    with pytest.raises(InvalidTask, match="27 observations to 8 actions; half-cheetah-vel:preset=promp has 17 and 6"):
        simulator.rollout(policy_of(built("ant-vel"))[0], theta, np.ones((T, 1)), R, rng)


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("half-cheeta-vel", {}, UnknownName, "did you mean half-cheetah-vel"),
        ("ant-vel", {"preset": "prompt"}, UnknownName, "did you mean promp"),
        ("ant-vel", {"horizons": 3}, UnknownName, "did you mean horizon"),
        ("ant-vel", {"horizon": 0}, InvalidTask, "horizon is 0"),
        ("ant-vel", {"gamma": 1.5}, InvalidTask, "gamma is 1.5"),
        ("ant-vel", {"integrator": "rk5"}, InvalidTask, "integrator is 'rk5'"),
    ],
)
def test_unknown_names_and_numbers_out_of_range(name: str, settings: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        simulator_named(name, **settings)


def test_descriptions_tell_simulators_apart() -> None:
    """What decides trajectories is in them, threads are not."""
    simulators = [built(task, preset) for task in TASKS for preset in PRESETS]
    simulators += [
        built("ant-vel", integrator="implicitfast"),
        built("ant-vel", horizon=7),
        built("ant-vel", gamma=0.5),
    ]
    texts = [json.dumps(simulator.describe()) for simulator in simulators]
    assert len(set(texts)) == len(texts)
    assert built("ant-vel", threads=1).describe() == built("ant-vel", threads=2).describe()
    assert built("ant-vel").describe()["mujoco"] == mujoco.__version__


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for absent in ("mujoco", "gymnasium"):
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda name, gone=absent: None if name == gone else find_spec(name)
        )
        with pytest.raises(MissingExtra, match=rf"'{absent}'.*python -m pip install 'bomrl-theory\[mujoco\]'"):
            runpy.run_path(str(Path(locomotion.__path__[0]) / "__init__.py"))
