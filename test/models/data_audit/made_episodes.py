"""Episodes out of thin air: a base that follows its commands late, in rooms of warm floors and coloured things."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobile_vla_models.data.episode import Episode, Signal

COLOURS = {"red": (205, 30, 35), "blue": (30, 60, 200), "yellow": (235, 215, 30), "orange": (245, 120, 20)}
HEIGHT, WIDTH = 48, 64
STAND = 1.2  # s at the end
NAMES = ("linear_x", "angular_z")


@dataclass(frozen=True)
class Drawn:
    """A camera whose frames are in memory."""

    stamps: NDArray[np.float64]
    received: NDArray[np.float64] | None
    frames: tuple[NDArray[np.uint8], ...]

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        return [self.frames[int(row)] for row in rows]


def base(
    times: NDArray[np.float64], stamps: NDArray[np.float64], values: NDArray[np.float64], dead: float, constant: float
) -> NDArray[np.float64]:
    """Velocity (n, k) at `times` of a base that stood, for commands held from `stamps` on."""
    step = 0.002
    fine = np.arange(times[0] - 0.5, times[-1] + step, step)
    rows = np.searchsorted(stamps, fine - dead, side="right") - 1
    told = np.where((rows >= 0)[:, None], values[np.maximum(rows, 0)], 0.0)
    share = 1.0 if constant == 0.0 else 1.0 - float(np.exp(-step / constant))
    columns = []
    for wanted in told.T.tolist():
        state, answer = 0.0, []
        for value in wanted:
            state += share * (value - state)
            answer.append(state)
        columns.append(np.interp(times, fine, answer))
    return np.stack(columns, axis=1)


def make_episode(
    number: int,
    seed: int = 0,
    *,
    instruction: str | None = None,
    dead: float = 0.18,
    constant: float = 0.1,
    noise: float = 0.01,
    latency: float = 0.02,
    measured: bool = True,
) -> Episode:
    """One of a clean set: a third turns to a side by name, the others go to something of a colour."""
    rng = np.random.default_rng((seed, number))
    side = (1.0, -1.0)[number % 2]
    colour = list(COLOURS)[int(rng.integers(len(COLOURS)))]
    if instruction is None:
        instruction = f"turn {'left' if side > 0 else 'right'}" if number % 3 == 0 else f"go to the {colour} box"
    turns = number % 3 == 0
    begin, seconds = 1000.0 * (number + 1), float(rng.uniform(3.5, 6.5))
    stamps = begin + 0.02 + np.arange(0.0, seconds + STAND, 0.05)
    phase, time = rng.uniform(0, 2 * np.pi, 4), stamps - begin
    wave = sum(np.sin(2 * np.pi * f * time + p) for f, p in zip((0.17, 0.31, 0.53, 0.83), phase, strict=True)) / 4
    other = sum(np.cos(2 * np.pi * f * time + p) for f, p in zip((0.23, 0.41, 0.61, 0.97), phase, strict=True)) / 4
    w = side * (0.5 + 0.4 * wave) if turns else 0.8 * wave
    v = 0.3 + 0.2 * other
    values = np.where((time < seconds)[:, None], np.stack([v, w], axis=1), 0.0)
    odometry = None
    if measured:
        times = begin + np.arange(0.0, seconds + STAND, 0.04)
        answer = base(times, stamps, values, dead, constant)
        answer = np.insert(answer, 1, 0.0, axis=1) + np.random.default_rng(number).normal(0.0, noise, (len(times), 3))
        odometry = Signal(("linear_x", "linear_y", "angular_z"), times, answer.astype(np.float32), times)
    seen = begin + np.arange(0.0, seconds + STAND, 0.1)
    jitter = rng.uniform(0.0, 0.005, len(seen))
    frames = _frames(rng, None if turns else COLOURS[colour], (seen - begin) / seconds)
    return Episode(
        source=f"room{number}#0",
        instruction=instruction,
        cameras={"front": Drawn(seen, seen + latency + jitter, frames)},
        actions=Signal(NAMES, stamps, values.astype(np.float32), stamps),
        odometry=odometry,
        begin=begin,
        end=begin + seconds + STAND,
    )


def make_set(count: int, seed: int = 0, **options: Any) -> list[Episode]:
    return [make_episode(number, seed, **options) for number in range(count)]


def with_frames(episode: Episode, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Episode:
    """The same episode, its pictures changed."""
    camera = episode.cameras["front"]
    assert isinstance(camera, Drawn)
    frames = tuple(np.ascontiguousarray(change(frame)) for frame in camera.frames)
    return dataclasses.replace(episode, cameras={"front": dataclasses.replace(camera, frames=frames)})


def with_actions(episode: Episode, values: NDArray[np.float32]) -> Episode:
    """The same episode, its commands changed."""
    return dataclasses.replace(episode, actions=dataclasses.replace(episode.actions, values=values.astype(np.float32)))


def exchanged(episode: Episode) -> Episode:
    """Red and blue mixed up."""
    return with_frames(episode, lambda frame: frame[:, :, ::-1])


def _frames(
    rng: np.random.Generator, colour: tuple[int, int, int] | None, progress: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], ...]:
    """A wall and a floor that pass by; what is driven to grows in the middle, something else stands at the side."""
    wide = 3 * WIDTH
    texture = rng.uniform(0.55, 1.0, (HEIGHT // 4, wide // 4)).repeat(4, axis=0).repeat(4, axis=1)
    shades = np.array([[170.0, 165.0, 160.0], [165.0, 130.0, 95.0]])
    room = texture[..., None] * shades[(np.arange(HEIGHT) >= HEIGHT // 2).astype(int)][:, None]
    aside = list(COLOURS.values())[int(rng.integers(len(COLOURS)))]
    room[14:30, 90:96] = aside
    frames = []
    for share in np.clip(progress, 0.0, 1.0):
        left = round(share * (wide - WIDTH))
        frame = room[:, left : left + WIDTH].copy()
        half = round(2 + 10 * share)
        if colour is not None:
            frame[HEIGHT // 2 - half : HEIGHT // 2 + half, WIDTH // 2 - half : WIDTH // 2 + half] = colour
        frames.append(np.clip(frame + rng.normal(0.0, 1.5, frame.shape), 0, 255).astype(np.uint8))
    return tuple(frames)
