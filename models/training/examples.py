"""Windows of recorded runs as batches: with their pictures, or with features that were computed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..configuration import PolicyConfig
from ..data.augmentation import (
    AugmentationConfig,
    Look,
    mirror_picture,
    mirror_sentence,
    mirror_values,
)
from ..data.episode import Episode
from ..data.features import KeptFeatures
from ..data.windows import Timeline, counted, history, lay_out
from ..errors import DataError
from ..preprocessing import resize
from .sampling import Order, part_of

W = TypeVar("W", bound="Windows")


@dataclass(frozen=True)
class Windows:
    """b windows of l frames and what was done there.

    Attributes:
        origin: source and stamp of each window's newest frame.
        instructions: b sentences.
        continuous: float32 (b, l, chunk, k) in [-1, 1].
        binary: float32 (b, l, chunk, m).
        mask: bool (b, l, chunk), the entries that count.
        newest: int64 (b,), the newest frame of each window; what follows it is filling.
    """

    origin: tuple[str, ...]
    instructions: tuple[str, ...]
    continuous: Tensor
    binary: Tensor
    mask: Tensor
    newest: Tensor

    def to(self: W, device: torch.device) -> W:
        """On another device."""
        moved: dict[str, Any] = {}
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if isinstance(value, Tensor):
                moved[name] = value.to(device)
            elif isinstance(value, dict):
                moved[name] = {key: tensor.to(device) for key, tensor in value.items()}
        return replace(self, **moved)


@dataclass(frozen=True)
class PictureWindows(Windows):
    """With pictures, uint8 (b, l, c, s, s, 3), and state, float32 (b, l, S)."""

    pictures: Tensor
    state: Tensor


@dataclass(frozen=True)
class FeatureWindows(Windows):
    """With features by name, float32 (b, l, size)."""

    features: dict[str, Tensor]


class Examples(Protocol):
    """Frames of recorded runs, of which any can be the newest of a window."""

    @property
    def index(self) -> FrameIndex:
        """The frames."""

    def windows(self, newest: NDArray[np.int64], seeds: Sequence[Sequence[int]] | None) -> Windows:
        """The windows that end at these frames; augmented by a seed each, or as they are."""


class FrameIndex:
    """All frames of several runs, end to end, with their labels.

    Args:
        timelines: of the runs.
        config: of the policy.

    Attributes:
        usable: int64 (n,), frames that windows may end at.
    """

    def __init__(self, timelines: Sequence[Timeline], config: PolicyConfig) -> None:
        self.timelines, self.config = timelines, config
        self.offsets = np.concatenate([[0], np.cumsum([len(timeline) for timeline in timelines])]).astype(np.int64)
        pairs = zip(timelines, self.offsets[:-1], strict=True)
        self.starts = np.concatenate([timeline.starts + offset for timeline, offset in pairs])
        self.mask = np.concatenate([timeline.labels.mask for timeline in timelines])
        self.continuous = np.concatenate([timeline.labels.continuous for timeline in timelines])
        self.binary = np.concatenate([timeline.labels.binary for timeline in timelines])
        usable = self.mask.any(axis=1)
        if self.whole_only:
            usable &= np.arange(len(self)) - self.starts >= config.window - 1
        self.usable = np.flatnonzero(usable).astype(np.int64)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the continuous actions."""
        return tuple(action.name for action in self.config.action.continuous)

    @property
    def whole_only(self) -> bool:
        """Whether a window must be full: pictures in one prompt cannot be filled up."""
        return self.config.history == "video"

    def place(self, frame: int) -> tuple[int, int]:
        """Number of its timeline, and the frame's in it."""
        number = int(np.searchsorted(self.offsets, frame, side="right")) - 1
        return number, frame - int(self.offsets[number])

    def origin(self, frame: int) -> str:
        """Source and stamp of a frame."""
        number, row = self.place(frame)
        timeline = self.timelines[number]
        return f"{timeline.episode.source} at {timeline.stamps[row]:.3f} s"

    def labels(
        self, newest: NDArray[np.int64], mirrored: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], dict[str, Tensor]]:
        """Rows of the windows that end at `newest`, (b, l) with -1 for filling, and their labels' tensors."""
        spec = self.config.action
        rows = history(self.starts, newest, self.config.window)
        filled = np.maximum(rows, 0)
        continuous = self.continuous[filled]
        if mirrored.any():
            continuous[mirrored] = mirror_values(continuous[mirrored], self.names)
        scaled = (continuous - spec.minimum) / (spec.maximum - spec.minimum) * 2.0 - 1.0
        counts = counted(self.starts, rows, self.mask, newest_only=self.whole_only)
        return rows, {
            "continuous": torch.from_numpy(np.clip(scaled, -1.0, 1.0).astype(np.float32)),
            "binary": torch.from_numpy(self.binary[filled]),
            "mask": torch.from_numpy(counts),
            "newest": torch.from_numpy((rows >= 0).sum(axis=1) - 1),
        }


class PictureExamples:
    """Examples whose pictures are decoded when they are asked for.

    Args:
        index: of the frames.
        augmentation: of the windows that are asked for with seeds; None: they stay as they are.
    """

    def __init__(self, index: FrameIndex, augmentation: AugmentationConfig | None) -> None:
        self.index, self._augmentation = index, augmentation

    def windows(self, newest: NDArray[np.int64], seeds: Sequence[Sequence[int]] | None) -> PictureWindows:
        """See `Examples`."""
        index, config = self.index, self.index.config
        looks = [self._draw(seed) for seed in seeds] if seeds is not None else [(False, None)] * len(newest)
        mirrored = np.array([mirror for mirror, _ in looks], dtype=bool)
        rows, labels = index.labels(newest, mirrored)
        size = config.image.size
        pictures = np.zeros((*rows.shape, len(config.cameras), size, size, 3), dtype=np.uint8)
        state = np.zeros((*rows.shape, len(config.state)), dtype=np.float32)
        sentences = []
        for window, (mirror, look) in enumerate(looks):
            frames = rows[window][rows[window] >= 0]
            number, first = index.place(int(frames[0]))
            timeline, span = index.timelines[number], slice(first, first + len(frames))
            for camera, name in enumerate(config.cameras):
                read = timeline.episode.cameras[name].read(timeline.rows[span, camera])
                for place, picture in enumerate(read):
                    pictures[window, place, camera] = prepare(picture, config, look, mirror=mirror)
            values = timeline.state[span]
            names = [dimension.name for dimension in config.state]
            state[window, : len(frames)] = mirror_values(values, names) if mirror else values
            said = timeline.episode.instruction
            sentences.append(mirror_sentence(said) if mirror else said)
        return PictureWindows(
            origin=tuple(index.origin(int(frame)) for frame in newest),
            instructions=tuple(sentences),
            pictures=torch.from_numpy(pictures),
            state=torch.from_numpy(state),
            **labels,
        )

    def _draw(self, seed: Sequence[int]) -> tuple[bool, Look | None]:
        if self._augmentation is None:
            return False, None
        rng = np.random.default_rng(seed)
        return self._augmentation.mirror and bool(rng.random() < 0.5), Look(self._augmentation, rng)


class FeatureExamples:
    """Examples whose frames' features are kept.

    Args:
        index: of the frames.
        kept: for each version of the frames, the features of every timeline; the first version is the plain one.
        mirrored: of each version.
    """

    def __init__(self, index: FrameIndex, kept: Sequence[Sequence[KeptFeatures]], mirrored: Sequence[bool]) -> None:
        self.index, self._kept, self._mirrored = index, kept, np.array(mirrored, dtype=bool)

    def windows(self, newest: NDArray[np.int64], seeds: Sequence[Sequence[int]] | None) -> FeatureWindows:
        """See `Examples`."""
        index = self.index
        count = len(self._kept)
        versions = np.zeros(len(newest), dtype=np.int64)
        if seeds is not None and count > 1:
            versions = np.array([np.random.default_rng(seed).integers(count) for seed in seeds])
        rows, labels = index.labels(newest, self._mirrored[versions])
        kept = self._kept[0][0]
        table = np.zeros((*rows.shape, kept.width), dtype=np.float16)
        sentences = []
        for window, version in enumerate(versions.tolist()):
            frames = rows[window][rows[window] >= 0]
            number, first = index.place(int(frames[0]))
            table[window, : len(frames)] = self._kept[version][number].table[first : first + len(frames)]
            sentences.append(index.timelines[number].episode.instruction)
        values = torch.from_numpy(table.astype(np.float32))
        return FeatureWindows(
            origin=tuple(index.origin(int(frame)) for frame in newest),
            instructions=tuple(sentences),
            features=dict(zip(kept.sizes, values.split(list(kept.sizes.values()), dim=-1), strict=True)),
            **labels,
        )


class ExampleBatches:
    """The batches of imitation.

    Args:
        examples: that they are drawn from.
        order: of the frames.
        batch_size: of a step.
        seed: of the augmentation, with step and row.
    """

    def __init__(self, examples: Examples, order: Order, batch_size: int, seed: int) -> None:
        self._examples, self._order = examples, order
        self._size, self._seed = batch_size, seed

    def __call__(self, step: int, part: int, parts: int) -> Windows:
        """See `loop.Batches`."""
        rows = part_of(self._size, part, parts)
        frames = self._order.between(step * self._size + rows.start, step * self._size + rows.stop)
        return self._examples.windows(frames, [(self._seed, step, row) for row in rows])


def prepare(picture: NDArray[np.uint8], config: PolicyConfig, look: Look | None, *, mirror: bool) -> NDArray[np.uint8]:
    """A recorded picture as the model takes it, uint8 (s, s, 3)."""
    picture = resize(picture, config.image)
    if look is not None:
        picture = look.apply(picture)
    return mirror_picture(picture) if mirror else picture


def index_frames(episodes: Sequence[Episode], config: PolicyConfig) -> FrameIndex:
    """Lay out episodes for a policy.

    Raises:
        DataError: see `lay_out`; or no window can be had of them.
    """
    index = FrameIndex([lay_out(episode, config) for episode in episodes], config)
    if not len(index.usable):
        raise DataError(
            f"{len(episodes)} episodes, {episodes[0].source} the first, hold no window of {config.window} frames "
            "with a command after it"
        )
    return index
