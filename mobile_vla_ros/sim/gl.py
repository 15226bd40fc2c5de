"""MuJoCo with a renderer that needs neither a display nor a GPU."""

from __future__ import annotations

import ctypes
import os
from types import ModuleType

PACKAGES = {
    "egl": "libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0",
    "osmesa": "libosmesa6",
    "glfw": "libglfw3 (and a display)",
}


class RendererError(RuntimeError):
    """The simulated camera cannot render; the message says which system package is missing."""


def load_mujoco() -> ModuleType:
    """Import mujoco with EGL as the renderer, unless MUJOCO_GL names another.

    Raises:
        RendererError: mujoco or the GL library it needs is missing.
    """
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
        import mujoco.renderer
    except ModuleNotFoundError as error:
        raise RendererError(f"the simulated robot needs the Python package {error.name}: pip install mujoco") from error
    except (ImportError, AttributeError, OSError, RuntimeError, ctypes.ArgumentError) as error:
        # PyOpenGL says a missing library in any of these ways.
        raise renderer_error(error) from error
    module: ModuleType = mujoco
    return module


def renderer_error(cause: Exception) -> RendererError:
    """An error that names the system packages which MUJOCO_GL's renderer needs."""
    backend = os.environ.get("MUJOCO_GL", "")
    packages = PACKAGES.get(backend)
    if packages is None:
        return RendererError(f"MUJOCO_GL is {backend!r}; expected one of {', '.join(PACKAGES)} ({cause})")
    return RendererError(
        f"no offscreen rendering with MUJOCO_GL={backend}: install the system packages {packages} "
        f"(apt-get install {packages}); the cause was: {type(cause).__name__}: {cause}"
    )
