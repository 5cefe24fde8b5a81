"""The MuJoCo models of Gymnasium's v5 environments."""

# MuJoCo fills its namespace when it is imported, unseen by pyright.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mujoco
from mujoco.batch import Batch as Simulations

from bomrl_theory.errors import InvalidTask, MissingExtra

FRAME_SKIP = 5
"""Steps of the simulator in a step of control, in both environments; with a time step of 0.01 s these are 0.05 s."""
INTEGRATORS = {
    "Euler": mujoco.mjtIntegrator.mjINT_EULER,
    "RK4": mujoco.mjtIntegrator.mjINT_RK4,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
}
NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE.value)
"""For :meth:`Simulations.reset`: compute nothing yet."""


def model_named(file: str, *, contact_forces: bool = False, integrator: str | None = None) -> mujoco.MjModel:
    """Compile one of Gymnasium's models.

    Args:
        file: name among Gymnasium's assets, such as ``ant.xml``.
        contact_forces: whether ``cfrc_ext`` is to be computed. MuJoCo leaves it out unless a sensor needs it, so one
            is added to the torso; the motion is the same to the last bit.
        integrator: one of :data:`INTEGRATORS` in place of the model's own. The motion changes.

    Raises:
        MissingExtra: this Gymnasium has no such model.
        InvalidTask: no such integrator.
    """
    if integrator is not None and integrator not in INTEGRATORS:
        raise InvalidTask(f"integrator is {integrator!r}; it must be one of {', '.join(INTEGRATORS)}")
    spec = importlib.util.find_spec("gymnasium")
    places = spec.submodule_search_locations if spec else None
    path = Path(next(iter(places or ()), "")) / "envs" / "mujoco" / "assets" / file
    if not path.is_file():
        raise MissingExtra("gymnasium 1.4.0", "mujoco")
    if contact_forces:
        edited = mujoco.MjSpec.from_file(str(path))
        edited.body("torso").add_site(name="torso_force")
        edited.add_sensor(
            name="torso_force",
            type=mujoco.mjtSensor.mjSENS_FORCE,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname="torso_force",
        )
        model = edited.compile()
    else:
        with unheard_warnings():  # Gymnasium's file has an attribute that MuJoCo will drop one day
            model = mujoco.MjModel.from_xml_path(str(path))
    if integrator is not None:
        model.opt.integrator = INTEGRATORS[integrator]
    return model


@contextmanager
def unheard_warnings() -> Iterator[None]:
    """Keep MuJoCo from writing warnings to stderr and to a file MUJOCO_LOG.TXT where the user happens to be."""
    heard = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(heard)


def simulations_of(model: mujoco.MjModel, count: int, threads: int) -> Simulations:
    """``count`` simulations of a model on a pool of threads that stays."""
    return Simulations(model, count, threads)


def integrator_of(model: mujoco.MjModel) -> str:
    """One of :data:`INTEGRATORS`."""
    return next(name for name, value in INTEGRATORS.items() if value == model.opt.integrator)


def versions() -> dict[str, str]:
    """What the trajectories depend on."""
    return {package: version(package) for package in ("mujoco", "gymnasium")}
