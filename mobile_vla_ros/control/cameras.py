"""What is checked of the frames of all cameras: any one of them that fails stops the robot."""

from __future__ import annotations

from collections.abc import Sequence

from .configuration import ControllerConfig
from .frames import FrozenCamera, StampCheck, moving
from .limits import Limits, Velocity
from .watchdog import Watchdog

TOGETHER = "frames of all cameras"


class _Camera:
    """One camera: its watchdog, what it saw, and what was wrong with its last frame."""

    def __init__(self, name: str, config: ControllerConfig) -> None:
        self.name = name  # for people
        self.frozen = FrozenCamera(config.frozen_timeout, _most(config), name)

    def configure(self, config: ControllerConfig, limits: Limits) -> None:
        self.watchdog = Watchdog(config.camera_timeout)
        self.stamps = StampCheck(config.camera_timeout, config.future_tolerance)
        self.frozen.timeout, self.frozen.most, self.frozen.moving = config.frozen_timeout, _most(config), moving(limits)
        self.bad_frame = ""


class Cameras:
    """Watches over every camera of a policy.

    Args:
        names: of the cameras.
        config: times.
        limits: of the motion, which say how fast the robot can be at all.
    """

    def __init__(self, names: Sequence[str], config: ControllerConfig, limits: Limits) -> None:
        several = len(names) > 1
        self._cameras = {name: _Camera(f"camera {name}" if several else "camera", config) for name in names}
        self.configure(config, limits)

    def configure(self, config: ControllerConfig, limits: Limits) -> None:
        """Take other times and limits and begin anew, but for pictures: one that was frozen still is."""
        for camera in self._cameras.values():
            camera.configure(config, limits)
        self._together = Watchdog(config.camera_timeout)

    @property
    def watchdogs(self) -> dict[str, Watchdog]:
        """What they wait for, by name."""
        watchdogs = {camera.name: camera.watchdog for camera in self._cameras.values()}
        return watchdogs | ({TOGETHER: self._together} if len(watchdogs) > 1 else {})

    @property
    def bad_frame(self) -> str:
        """What was wrong with the last frame of a camera; empty: nothing with any."""
        return next((camera.bad_frame for camera in self._cameras.values() if camera.bad_frame), "")

    @property
    def frozen(self) -> str:
        """Which camera's picture is frozen; empty: none."""
        return next((camera.frozen.fault for camera in self._cameras.values() if camera.frozen.fault), "")

    def await_frames(self, steady: float) -> None:
        """Await a frame of each from `steady` (s) on."""
        for watchdog in self.watchdogs.values():
            watchdog.start(steady)

    def take(self, name: str, stamp: float, now: float, steady: float, digest: int | None) -> bool:
        """Note a frame that arrived; whether it can be used."""
        camera = self._cameras[name]
        camera.bad_frame = camera.stamps.fault(stamp, now)
        if camera.bad_frame:
            return False
        camera.watchdog.start(steady)
        camera.frozen.see(digest)
        return True

    def complete(self, steady: float) -> None:
        """Frames of all cameras came that belong together."""
        self._together.start(steady)

    def move(self, velocity: Velocity, seconds: float) -> None:
        """The robot has been told to move with this velocity (m/s, rad/s) for so long."""
        for camera in self._cameras.values():
            camera.frozen.move(velocity, seconds)

    def thaw(self) -> None:
        """Pictures that do not change get another chance."""
        for camera in self._cameras.values():
            camera.frozen.clear()

    def forget_stamps(self) -> None:
        """The clock jumped: stamps from before mean nothing now."""
        for camera in self._cameras.values():
            camera.stamps.forget()

    def silent(self, steady: float) -> str:
        """What did not come in time; empty: nothing is missing at `steady` (s)."""
        for camera in self._cameras.values():
            silence = camera.watchdog.overdue(steady)
            if silence is not None:
                bad = f" ({camera.bad_frame})" if camera.bad_frame else ""
                return f"{camera.name}: no usable frame for {silence:.2f} s{bad}"
        silence = self._together.overdue(steady)
        if silence is None:
            return ""
        return f"cameras: no frames of {', '.join(self._cameras)} that belong together for {silence:.2f} s"


def _most(config: ControllerConfig) -> tuple[float, float]:
    return config.max_blind_distance, config.max_blind_angle
