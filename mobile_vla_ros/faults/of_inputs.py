"""Faults of camera, odometry, clock, and of the emergency stop's topic."""

from __future__ import annotations

from types import MappingProxyType

from .bench import Bench
from .fault import Fault, GoesOn, Injected, by_sensors
from .judge import Expected
from .policy import DT
from .promises import CONFIG, EMERGENCY_STOP_TIMEOUT, ODOMETRY_TIMEOUT, T

# The other kinds of input, all at once: JPEG, odometry and an emergency stop that have to be heard, time from /clock.
OTHER_INPUTS = MappingProxyType(
    {
        "image_transport": "compressed",
        "odometry_timeout": ODOMETRY_TIMEOUT,
        "emergency_stop_timeout": EMERGENCY_STOP_TIMEOUT,
        "use_sim_time": "true",
    }
)
SILENCE = CONFIG.camera_timeout + T
FROZEN = CONFIG.frozen_timeout + T
SLOW_FRAMES = 3


def _kill_camera(bench: Bench) -> Injected:
    return Injected.at(bench.sensors.kill())


def _slow_frames(bench: Bench) -> Injected:
    """Frames once a second: after each of them there must be zero again in time."""
    known = len(bench.sensors.faults)
    bench.sensors.demand("slow")
    frames = [bench.fault_time(bench.sensors, known, number + 1) for number in range(SLOW_FRAMES)]
    return Injected(tuple(frames[:-1]), frames[-1])


def _camera(
    name: str, demand: str, says: str, bound: float = SILENCE, *, other: bool = False, watch: float = 1.0
) -> Fault:
    return Fault(
        name,
        by_sensors(demand),
        Expected.AT_ONCE,
        bound,
        GoesOn.ITSELF,
        says,
        OTHER_INPUTS if other else MappingProxyType({}),
        watch,
    )


CAMERA = (
    Fault(
        "camera killed",
        _kill_camera,
        Expected.AT_ONCE,
        SILENCE,
        GoesOn.ITSELF,
        "camera: no usable frame for",
        watch=2.0,
    ),
    _camera("camera silent", "silent", "camera: no usable frame for"),
    _camera("camera frozen", "frozen", "the picture is frozen", FROZEN, watch=2.0),
    _camera("four pictures again and again", "buffers", "the picture is frozen", FROZEN, watch=2.0),
    _camera("stamps in the past", "past", "old on arrival"),
    _camera("stamps in the future", "future", "in the future"),
    _camera("stamps stand still", "still", "camera: no usable frame for"),
    _camera("stamps of another clock", "epoch", "is use_sim_time right?"),
    _camera("unknown encoding", "encoding", "'32FC1' is not supported", T),
    _camera("empty image", "empty", "image is empty", T),
    _camera("truncated image", "truncated", "image has", T),
    _camera("depth image", "depth", "'16UC1' is not supported", T),
    _camera("image that declares 2^31 x 2^31", "huge", "expected at most 4096 x 4096", T),
    _camera("good and bad frames by turns", "turns", "'32FC1' is not supported", T, watch=2.0),
    Fault(
        "camera at 1 Hz",
        _slow_frames,
        Expected.AGAIN,
        SILENCE,
        GoesOn.ITSELF,
        "camera: no usable frame for",
        note="moves for a moment with each frame",
    ),
)


def _until_lifted(name: str, demand: str, says: str, bound: float) -> Fault:
    return _camera(name, demand, says, bound, other=True)


OTHERS = (
    _until_lifted("corrupt JPEG", "corrupt", "is corrupt", T),
    _until_lifted("truncated JPEG", "truncated", "is corrupt", DT + T),
    _until_lifted("16-bit PNG", "depth-png", "PNG has 16 bits a value", T),
    _until_lifted("format 16UC1; png compressed", "depth-format", "'16UC1' is not supported", T),
    _until_lifted("PNG that announces 4 GB", "huge-chunk", "announces 4294963200 bytes", T),
    _until_lifted("JPEG that declares 20000 x 20000", "huge-jpeg", "20000 x 20000 pixels", T),
    _until_lifted("odometry silent", "no-odometry", "odometry: none for", ODOMETRY_TIMEOUT + T),
    Fault(
        "emergency_stop silent",
        lambda bench: Injected.at(bench.silence_emergency_stop()),
        Expected.AT_ONCE,
        EMERGENCY_STOP_TIMEOUT + T,
        GoesOn.RESET,
        "emergency stop: its topic: none for",
        OTHER_INPUTS,
    ),
    _until_lifted("clock jumps back", "clock-back", "the clock jumped back by", T),
    _until_lifted("clock jumps forward", "clock-forward", "the clock jumped forward by", T),
    _until_lifted("clock stands still", "clock-stands", "camera: no usable frame for", SILENCE),
)
