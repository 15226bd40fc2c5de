"""Second stage: the expert's commands are imitated, from features of the grounded towers computed once per frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from ..configuration import PolicyConfig
from ..data.episode import Episode
from ..data.windows import label_chunks
from ..instruction import InstructionEncoder
from ..loss import action_loss
from ..modeling import Observation, VLAModel


@dataclass(frozen=True)
class FeatureEpisodes:
    """Episodes as features and labels, end to end in one array each; n frames in all.

    Attributes:
        features: by name, float16 (n, size).
        velocity: float32 (n, chunk, 2), scaled to [-1, 1] by the action spec.
        stop: float32 (n, chunk).
        mask: bool (n, chunk).
        starts: int64 (episodes + 1,), first frame of each episode, then n.
    """

    features: dict[str, Tensor]
    velocity: Tensor
    stop: Tensor
    mask: Tensor
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.velocity)


@torch.inference_mode()
def extract_features(model: VLAModel, encoder: InstructionEncoder, episodes: list[Episode]) -> FeatureEpisodes:
    """Compute every frame's features with the towers as they are, under its episode's instruction."""
    model.eval()
    spec = model.config.action
    low, high = torch.from_numpy(spec.minimum), torch.from_numpy(spec.maximum)
    parts: list[dict[str, Tensor]] = []
    velocity, stop, mask, lengths = [], [], [], []
    for episode in track(episodes, description="features of the frames"):
        encoded = encoder(model, [episode.instruction])
        observation = Observation(torch.from_numpy(episode.frames)[None, :, None])
        parts.append({name: value[0].half() for name, value in model.observe(observation, encoded).items()})
        labels = label_chunks(episode, model.config)
        scaled = (torch.from_numpy(labels.velocity) - low) / (high - low) * 2.0 - 1.0
        velocity.append(scaled.clamp(-1.0, 1.0))
        stop.append(torch.from_numpy(labels.stop))
        mask.append(torch.from_numpy(labels.mask))
        lengths.append(len(episode.frames))
    return FeatureEpisodes(
        features={name: torch.cat([part[name] for part in parts]) for name in parts[0]},
        velocity=torch.cat(velocity),
        stop=torch.cat(stop),
        mask=torch.cat(mask),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def draw_windows(data: FeatureEpisodes, window: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Frames drawn uniformly, each with the frames before it: int64 (count, window) of frame rows, -1 before the start.

    Rows are left-aligned as at run time: a run's first frames have a short history, from a zero state.
    """
    last = rng.integers(0, len(data), count)
    return window_rows(data, last, window)


def window_rows(data: FeatureEpisodes, last: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """The window that ends at each frame of `last`: int64 (count, window), left-aligned, filled with -1."""
    first = data.starts[np.searchsorted(data.starts, last, side="right") - 1]
    begin = np.maximum(first, last - window + 1)
    rows = begin[:, None] + np.arange(window)
    return np.where(rows <= last[:, None], rows, -1)


def window_loss(model: VLAModel, data: FeatureEpisodes, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Losses (velocity, stop) at the last frame of each window, and at every frame of those that begin an episode.

    In a window that begins inside an episode only the last output is one that the robot would ever use; in one that
    begins with the episode each is, since the history grows from there.
    """
    filled = torch.from_numpy(rows >= 0)
    index = torch.from_numpy(np.maximum(rows, 0))
    features = {name: values[index].float() for name, values in data.features.items()}
    continuous, binary = model.act(features)
    begins = torch.from_numpy(np.isin(rows[:, 0], data.starts))
    is_last = torch.from_numpy(np.arange(rows.shape[1]) == (rows >= 0).sum(axis=1, keepdims=True) - 1)
    counts = (filled & (is_last | begins[:, None])).unsqueeze(-1) & data.mask[index]
    return action_loss(continuous, binary, data.velocity[index], data.stop[index].unsqueeze(-1), counts, "huber")


def constant_action(data: FeatureEpisodes) -> Tensor:
    """The best constant: the mean scaled velocity over all frames, (2,)."""
    return data.velocity[data.mask].mean(dim=0)


@torch.inference_mode()
def action_errors(
    model: VLAModel, data: FeatureEpisodes, constant: Tensor, config: PolicyConfig, batch: int = 512
) -> dict[str, float]:
    """Mean absolute errors of the first action of each chunk, with the constant-action baseline beside them.

    Returns:
        `linear_x` (m/s), `angular_z` (rad/s), each with `..._constant`; `stop_precision`, `stop_recall`.
    """
    model.eval()
    half_range = torch.from_numpy((config.action.maximum - config.action.minimum) / 2.0)
    velocities, stops = [], []
    for begin in range(0, len(data), batch):
        last = np.arange(begin, min(begin + batch, len(data)))
        rows = window_rows(data, last, config.window)
        index = torch.from_numpy(np.maximum(rows, 0))
        continuous, binary = model.act({name: values[index].float() for name, values in data.features.items()})
        at = torch.from_numpy((rows >= 0).sum(axis=1) - 1)
        each = torch.arange(len(at))
        velocities.append(continuous[each, at, 0])
        stops.append(binary[each, at, 0, 0] > 0)
    error = ((torch.cat(velocities) - data.velocity[:, 0]).abs() * half_range).mean(dim=0)
    baseline = ((constant - data.velocity[:, 0]).abs() * half_range).mean(dim=0)
    said, true = torch.cat(stops), data.stop[:, 0] > 0.5
    hits = float((said & true).sum())
    return {
        "linear_x": float(error[0]),
        "linear_x_constant": float(baseline[0]),
        "angular_z": float(error[1]),
        "angular_z_constant": float(baseline[1]),
        "stop_precision": hits / max(1.0, float(said.sum())),
        "stop_recall": hits / max(1.0, float(true.sum())),
    }
