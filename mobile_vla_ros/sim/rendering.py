"""Offscreen rendering of many small worlds, one after the other, in one process.

`mujoco.Renderer` makes an OpenGL context of its own each time, which costs a hundred times what a picture does. Here
all worlds of a process share one context; it belongs to the thread that rendered first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .gl import load_mujoco, renderer_error

_FONT_SCALE = 50  # the smallest: nothing is written into the pictures
_MAX_GEOMS = 200
_shared_context: Any = None


def _make_current() -> None:
    """Make the process's OpenGL context current, creating it at first.

    Raises:
        RendererError: no context can be had.
    """
    global _shared_context
    try:
        if _shared_context is None:
            from mujoco.gl_context import GLContext

            _shared_context = GLContext(64, 64)
        _shared_context.make_current()
    except Exception as error:  # GL bindings raise their own types, without a common base
        raise renderer_error(error) from error


class OffscreenRenderer:
    """Pictures and segmentations of one model."""

    def __init__(self, model: Any) -> None:
        """Prepare for `model`.

        Raises:
            RendererError: the GL library is missing.
        """
        self._mujoco: Any = load_mujoco()
        self._model = model
        _make_current()
        self._context = self._mujoco.MjrContext(model, _FONT_SCALE)
        self._scene = self._mujoco.MjvScene(model, _MAX_GEOMS)
        self._options = self._mujoco.MjvOption()
        self._camera = self._mujoco.MjvCamera()
        self._camera.type = self._mujoco.mjtCamera.mjCAMERA_FIXED

    def picture(self, data: Any, camera: str, width: int, height: int, hidden_group: int) -> NDArray[np.uint8]:
        """RGB uint8 (height, width, 3) as the named camera sees it, without the geoms of `hidden_group`."""
        return self._render(data, camera, width, height, hidden_group, segment=False)

    def geom_ids(self, data: Any, camera: str, width: int, height: int, hidden_group: int) -> NDArray[np.int32]:
        """The geom that each pixel shows, int32 (height, width); -1 for the background."""
        colors = self._render(data, camera, width, height, hidden_group, segment=True).astype(np.int32)
        numbers = colors[:, :, 0] + (colors[:, :, 1] << 8) + (colors[:, :, 2] << 16)
        geoms = np.full(self._scene.ngeom + 1, -1, dtype=np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid != -1 and geom.objtype == self._mujoco.mjtObj.mjOBJ_GEOM:
                geoms[geom.segid + 1] = geom.objid
        return np.asarray(geoms[numbers], dtype=np.int32)

    def close(self) -> None:
        """Free what this model holds; the shared context stays."""
        _make_current()
        self._context.free()

    def _render(
        self, data: Any, camera: str, width: int, height: int, hidden_group: int, segment: bool
    ) -> NDArray[np.uint8]:
        mujoco = self._mujoco
        _make_current()
        # The GL context is shared: another world may have bound its own buffer.
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        for group in range(mujoco.mjNGROUP):
            self._options.geomgroup[group] = group != hidden_group
        self._camera.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(
            self._model, data, self._options, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = segment
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = segment
        rectangle = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(rectangle, self._scene, self._context)
        picture = np.empty((height, width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(picture, None, rectangle, self._context)
        return np.ascontiguousarray(picture[::-1])  # OpenGL counts rows from below
