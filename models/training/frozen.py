"""Features of frozen towers: computed once for every frame and version, kept in files, read back ever after."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from ..configuration import PolicyConfig
from ..data.augmentation import VERSION, AugmentationConfig, Look, mirror_sentence, mirror_values
from ..data.features import FeatureCache, KeptFeatures, identity
from ..data.windows import Timeline
from ..errors import TrainingConfigError
from ..instruction import InstructionEncoder
from ..modeling import Observation, VLAModel
from ..weights import stored_tensors
from .examples import FeatureExamples, FrameIndex, prepare

_AT_ONCE = 32  # frames


class FrozenTowers:
    """Computes and keeps features.

    Args:
        model: whose towers do not change any more.
        encoder: of its instructions.
        folder: of the files.

    Raises:
        TrainingConfigError: features of this policy are not of single frames.
    """

    def __init__(self, model: VLAModel, encoder: InstructionEncoder, folder: Path) -> None:
        config = model.config
        if config.head.type == "discrete" or config.history not in ("post", "none"):
            raise TrainingConfigError(
                f"imitation.trainable is null, but with history {config.history!r} and head {config.head.type!r} "
                "nothing of a single frame can be kept: say what trains"
            )
        self._model, self._encoder = model, encoder
        sizes: dict[str, int] = {name: model.feature_sizes[name] for name in config.features}
        self._cache = FeatureCache(folder, towers_hash(model, encoder), sizes)

    @property
    def computed(self) -> int:
        """Files that were not there before."""
        return self._cache.computed

    def examples(
        self, index: FrameIndex, augmentation: AugmentationConfig | None, looks: int, seed: int
    ) -> FeatureExamples:
        """Every frame, plain and in `looks` versions, each of these also mirrored if the augmentation mirrors."""
        mirrors = (False, True) if augmentation is not None and augmentation.mirror else (False,)
        versions = [(look, mirror) for look in range(looks + 1) for mirror in mirrors]
        self._model.eval()
        kept = [
            [
                self._kept(timeline, augmentation if look else None, (seed, look, number), mirror=mirror)
                for number, timeline in enumerate(
                    track(index.timelines, description=f"features of the frames, version {version + 1}", transient=True)
                )
            ]
            for version, (look, mirror) in enumerate(versions)
        ]
        return FeatureExamples(index, kept, [mirror for _, mirror in versions])

    def _kept(
        self, timeline: Timeline, augmentation: AugmentationConfig | None, seed: Sequence[int], *, mirror: bool
    ) -> KeptFeatures:
        digest = hashlib.sha256()
        config = self._model.config
        for camera, name in enumerate(config.cameras):
            digest.update(identity(timeline.episode.cameras[name], timeline.rows[:, camera]))
        digest.update(timeline.state.tobytes())
        version = None if augmentation is None else (VERSION, augmentation.model_dump_json(), tuple(seed))
        digest.update(repr((timeline.episode.instruction, mirror, version)).encode())
        return self._cache.kept(
            len(timeline),
            digest.hexdigest(),
            lambda: self._compute(
                timeline,
                None if augmentation is None else Look(augmentation, np.random.default_rng(seed)),
                mirror=mirror,
            ),
        )

    @torch.inference_mode()
    def _compute(self, timeline: Timeline, look: Look | None, *, mirror: bool) -> NDArray[np.float32]:
        model, config = self._model, self._model.config
        said = timeline.episode.instruction
        encoded = self._encoder(model, [mirror_sentence(said) if mirror else said])
        names = [dimension.name for dimension in config.state]
        states = mirror_values(timeline.state, names) if mirror else timeline.state
        parts = []
        for begin in range(0, len(timeline), _AT_ONCE):
            span = slice(begin, begin + _AT_ONCE)
            pictures = _pictures(timeline, span, config, look, mirror=mirror)
            state = torch.from_numpy(states[span])[None].to(model.device) if names else None
            observation = Observation(torch.from_numpy(pictures)[None].to(model.device), state)
            features = model.observe(observation, encoded)
            parts.append(torch.cat([features[name][0].float() for name in config.features], dim=-1).cpu())
        return torch.cat(parts).numpy()


def _pictures(
    timeline: Timeline, span: slice, config: PolicyConfig, look: Look | None, *, mirror: bool
) -> NDArray[np.uint8]:
    """uint8 (t, c, s, s, 3)."""
    cameras = [
        [
            prepare(picture, config, look, mirror=mirror)
            for picture in timeline.episode.cameras[name].read(timeline.rows[span, camera])
        ]
        for camera, name in enumerate(config.cameras)
    ]
    return np.stack([np.stack(pictures) for pictures in zip(*cameras, strict=True)])


def towers_hash(model: VLAModel, encoder: InstructionEncoder) -> str:
    """SHA-256 of all that turns a picture and a sentence into features: weights, configuration, tokenizers."""
    digest = hashlib.sha256()
    config = model.config.model_dump(mode="json", exclude={"window", "chunk", "head", "action", "dt"})
    config["fusion"] = model.config.features
    digest.update(repr(config).encode())
    for tokenizer in (encoder.tokenizer, encoder.clip_tokenizer):
        if tokenizer is not None:
            digest.update(tokenizer.backend_tokenizer.to_str().encode())
    for name, tensor in sorted(stored_tensors(model).items()):
        if not name.startswith(("fusion.", "head.")):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def swap_instructions(index: FrameIndex) -> FrameIndex:
    """The same frames, each episode under the words of the next one whose words differ."""
    episodes = [timeline.episode for timeline in index.timelines]
    swapped = []
    for number, timeline in enumerate(index.timelines):
        others = [other.instruction for other in (*episodes[number + 1 :], *episodes[:number])]
        words = next((text for text in others if text != timeline.episode.instruction), timeline.episode.instruction)
        swapped.append(replace(timeline, episode=replace(timeline.episode, instruction=words)))
    return FrameIndex(swapped, index.config)
