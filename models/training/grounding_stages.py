"""First stage: CLIP is grounded in views, then Kosmos-2, each by the loop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.views import GroundingViews, read_views
from ..errors import DataError
from ..instruction import InstructionEncoder
from ..modeling import VLAModel
from .configuration import GroundingConfig
from .grounding import (
    LocationBatch,
    LocationHead,
    PatchBatch,
    check_similarity_prompts,
    clip_of,
    clip_pointing,
    draw_location_batch,
    draw_patch_batch,
    kosmos2_pointing,
    location_loss,
    patch_loss,
    take_vision_tower,
)
from .loop import Run, Stage, Trainer
from .tasks import TOTAL

VALIDATE_EVERY = 250
_AT_ONCE = 250  # views


class PatchObjective(nn.Module):
    """CLIP's loss."""

    def __init__(self, model: VLAModel, encoder: InstructionEncoder) -> None:
        super().__init__()
        self.model, self._encoder = model, encoder

    def forward(self, batch: PatchBatch) -> dict[str, Tensor]:
        """The loss alone."""
        return {TOTAL: patch_loss(self.model, self._encoder, batch)}


class LocationObjective(nn.Module):
    """Kosmos-2's loss."""

    def __init__(self, model: VLAModel, encoder: InstructionEncoder, head: LocationHead) -> None:
        super().__init__()
        self.model, self._encoder, self.head = model, encoder, head

    def forward(self, batch: LocationBatch) -> dict[str, Tensor]:
        """The loss alone."""
        return {TOTAL: location_loss(self.model, self._encoder, self.head, batch)}


class Views:
    """Batches of views, and those that are held out: the last ones, as those of one scene lie side by side.

    Args:
        views: all of them.
        config: of the stage.
        grid: patches along a side.
        seed: of the batches.
    """

    def __init__(self, views: GroundingViews, config: GroundingConfig, grid: int, seed: int) -> None:
        if len(views) <= config.validation_views:
            raise DataError(
                f"{config.views} holds {len(views)} views, {config.validation_views} of them are for validation"
            )
        self._views, self._config, self._grid, self._seed = views, config, grid, seed

    def patches(self, prompts: tuple[str, ...], step: int, part: int, parts: int) -> PatchBatch:
        """CLIP's; see `loop.Batches`."""
        rng = np.random.default_rng([self._seed, step, part])
        rows = self._rows(rng, self._config.clip.batch_size // parts)
        return draw_patch_batch(self._views, rows, self._grid, prompts, rng)

    def locations(self, step: int, part: int, parts: int) -> LocationBatch:
        """Kosmos-2's; see `loop.Batches`."""
        rng = np.random.default_rng([self._seed, step, part])
        return self._locations(self._rows(rng, self._config.kosmos2.batch_size // parts), rng)

    def held_out(self, device: torch.device) -> Iterator[LocationBatch]:
        """The same instructions each time."""
        end = len(self._views)
        for begin in range(end - self._config.validation_views, end, _AT_ONCE):
            rows = np.arange(begin, min(begin + _AT_ONCE, end))
            yield self._locations(rows, np.random.default_rng(begin)).to(device)

    def _rows(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        return rng.integers(0, len(self._views) - self._config.validation_views, count)

    def _locations(self, rows: NDArray[np.int64], rng: np.random.Generator) -> LocationBatch:
        config = self._config
        return draw_location_batch(
            self._views, rows, self._grid, config.instructions_per_view, config.absent_share, rng
        )


def ground(
    config: GroundingConfig, model: VLAModel, encoder: InstructionEncoder, run: Run
) -> dict[str, dict[str, float]]:
    """Train CLIP, then Kosmos-2; their pointing accuracies on held-out views."""
    return {stage.name: Trainer(stage, run).run() for stage in grounding_stages(config, model, encoder, run.seed)}


def grounding_stages(
    config: GroundingConfig, model: VLAModel, encoder: InstructionEncoder, seed: int
) -> Iterator[Stage]:
    """The stages, each to be trained before the next is asked for.

    Raises:
        DataError: too few views, or none.
        TrainingConfigError: the policy cannot be grounded.
    """
    prompts = check_similarity_prompts(model.config.clip.prompts if model.config.clip is not None else ())
    clip = clip_of(model)
    views = Views(read_views(config.views, model.config.image), config, clip.grid, seed)
    model.requires_grad_(False)
    clip.requires_grad_(True)
    yield Stage(
        name="clip",
        objective=PatchObjective(model, encoder),
        batches=partial(views.patches, prompts),
        config=config.clip,
        groups={},
        validate=lambda module: _mean([clip_pointing(model, encoder, batch) for batch in views.held_out(model.device)]),
        validate_every=VALIDATE_EVERY,
    )
    model.requires_grad_(False)
    model.backbone.requires_grad_(True)
    take_vision_tower(model)
    if model.action_tokens is not None:
        model.action_tokens.requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = LocationHead(model.feature_sizes["backbone"], clip.patches)
    yield Stage(
        name="kosmos2",
        objective=LocationObjective(model, encoder, head),
        batches=views.locations,
        config=config.kosmos2,
        groups={},
        validate=lambda module: _mean(
            [kosmos2_pointing(model, encoder, head, batch) for batch in views.held_out(model.device)]
        ),
        validate_every=VALIDATE_EVERY,
    )
    model.requires_grad_(False)


def _mean(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
