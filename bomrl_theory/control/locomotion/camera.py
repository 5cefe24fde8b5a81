"""Pictures of a simulation, drawn without a screen.

OpenGL comes from the backend that the environment variable ``MUJOCO_GL`` names; on Linux ``egl`` when it is not set. A
bare Debian or Ubuntu draws in software after ``apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri`` (or
``libosmesa6``, with ``MUJOCO_GL=osmesa``); a machine with Nvidia's driver has EGL already.
"""

# MuJoCo fills its namespace when it is imported, unseen by pyright.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy
import importlib
import os
import sys
from typing import Any

import mujoco
import numpy as np
from jaxtyping import UInt8

from bomrl_theory.errors import MissingLibrary
from bomrl_theory.numbers import Array

DEFAULT_BACKEND = {"linux": "egl", "darwin": "cgl"}


class Camera:
    """Follows the body that moves, from the side. Use as a context manager, in one thread.

    Args:
        model: what is looked at.
        height, width: of pictures, in pixels.
        distance: from the body, in m.
        elevation: of the line of sight, in degrees.

    Raises:
        MissingLibrary: OpenGL is not there (tells how to install it).
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int, distance: float, elevation: float):
        backend = os.environ.get("MUJOCO_GL", "").lower() or DEFAULT_BACKEND.get(sys.platform, "glfw")
        try:
            self._gl: Any = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
            self._gl.make_current()
        # PyOpenGL fails in many ways where the library underneath is not there.
        except Exception as error:
            raise MissingLibrary(
                f"pictures need OpenGL, and the backend '{backend}' does not start ({error}); on Debian run: apt-get "
                "install libegl1 libegl-mesa0 libgl1-mesa-dri, and set MUJOCO_GL=egl before starting Python"
            ) from None
        self.model = model = copy.copy(model)
        self.data = mujoco.MjData(model)
        model.mat_reflectance[:] = 0.0
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW.value] = 0
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_TRACKING
        self._view.trackbodyid = 1
        self._view.distance, self._view.elevation, self._view.azimuth = distance, elevation, 90.0
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._picture = np.empty((height, width, 3), dtype=np.uint8)

    def picture(self, qpos: Array) -> UInt8[Array, "height width 3"]:
        """Of the robot at these positions."""
        self.data.qpos[:] = qpos
        mujoco.mj_forward(self.model, self.data)
        mujoco.mjv_updateScene(
            self.model,
            self.data,
            mujoco.MjvOption(),
            None,
            self._view,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._picture, None, self._rectangle, self._context)
        return self._picture[::-1].copy()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.free()
        self._gl.free()
