"""Grounding: words are tied to what is seen before any run is imitated.

Imitation alone does not teach a small policy to listen: its loss is low long before the words matter. Here they are
all that matters. CLIP comes first: every patch of a picture is compared with every name, look-alikes and absent things
included. Kosmos-2 then gets CLIP's vision tower, as the released model did (Peng et al., 2023), and learns to say where
the named thing is, which is its own strength.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..clip import ClipGrounding
from ..data.views import FLOOR, WALL, GroundingViews, patch_coverage
from ..errors import TrainingConfigError
from ..instruction import InstructionEncoder
from ..modeling import VLAModel
from ..preprocessing import normalise
from ..text import encode

# What constant similarity prompts mean in the labels of the views.
SCENE_PROMPTS: Mapping[str, tuple[int, ...] | None] = {
    "any object": None,
    "the wall": (WALL,),
    "the floor": (FLOOR,),
}
# A thing counts as visible from this share of one patch on.
VISIBLE = 0.1
# A patch half covered is a full positive: far things cover no patch fully, yet must be found.
COVERAGE_GAIN = 2.0


class LocationHead(nn.Module):
    """From the action token to where the named thing is: logits over the patches of a grid, and `nowhere` last.

    Used in training only; Kosmos-2 itself says places as tokens of such a grid.
    """

    def __init__(self, feature_size: int, patches: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, patches + 1)

    def forward(self, states: Tensor) -> Tensor:
        """(b, feature_size) -> (b, patches + 1)."""
        return self.linear(states)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class PatchBatch:
    """Pictures, and how much of each patch shows what each sentence names.

    Attributes:
        origin: the views' numbers.
        pictures: uint8 (b, s, s, 3).
        texts: n sentences, compared with every picture.
        coverage: float32 (b, n, patches).
    """

    origin: tuple[str, ...]
    pictures: Tensor
    texts: list[str]
    coverage: Tensor

    def to(self, device: torch.device) -> PatchBatch:
        """On another device."""
        return replace(self, pictures=self.pictures.to(device), coverage=self.coverage.to(device))


@dataclass(frozen=True)
class LocationBatch:
    """Pictures with k instructions each.

    Attributes:
        origin: the views' numbers.
        pictures: uint8 (b, s, s, 3).
        instructions: b * k sentences, those of one picture side by side.
        location: float32 (b * k, patches + 1), where the thing named is; rows sum to 1, last column: nowhere.
        objects: bool (b * k, patches), patches that show any named thing.
    """

    origin: tuple[str, ...]
    pictures: Tensor
    instructions: list[str]
    location: Tensor
    objects: Tensor

    def to(self, device: torch.device) -> LocationBatch:
        """On another device."""
        moved = {name: getattr(self, name).to(device) for name in ("pictures", "location", "objects")}
        return replace(self, **moved)


def check_similarity_prompts(prompts: tuple[str, ...]) -> tuple[str, ...]:
    """The constant prompts among a policy's similarity prompts.

    Raises:
        TrainingConfigError: a constant prompt whose meaning the views' labels do not have.
    """
    constant = tuple(prompt for prompt in prompts if "{instruction}" not in prompt)
    for prompt in constant:
        if prompt not in SCENE_PROMPTS:
            raise TrainingConfigError(
                f"policy.similarity_prompts: {prompt!r} is not among those that views label: {', '.join(SCENE_PROMPTS)}"
            )
    return constant


def draw_patch_batch(
    views: GroundingViews,
    rows: NDArray[np.int64],
    grid: int,
    prompts: tuple[str, ...],
    rng: np.random.Generator,
) -> PatchBatch:
    """Label every patch of the views of `rows` with one sentence per class, one that names nothing, and the prompts."""
    pictures, shares = _mirrored(views, rows, grid, rng)
    index = views.index
    named = shares[:, 1 : len(index.classes) + 1]
    coverage = [named, np.zeros_like(named[:, :1])]
    for prompt in prompts:
        labels = SCENE_PROMPTS[prompt]
        part = named if labels is None else shares[:, list(labels)]
        coverage.append(part.sum(axis=1, keepdims=True))
    texts = [str(rng.choice(index.phrases[name])) for name in (*index.classes, "")]
    return PatchBatch(
        _origin(rows),
        torch.from_numpy(pictures),
        [*texts, *prompts],
        torch.from_numpy(np.concatenate(coverage, axis=1)),
    )


def draw_location_batch(
    views: GroundingViews,
    rows: NDArray[np.int64],
    grid: int,
    instructions_per_view: int,
    absent_share: float,
    rng: np.random.Generator,
) -> LocationBatch:
    """Draw instructions for the views of `rows`: most name something visible, the others nothing that can be seen."""
    pictures, shares = _mirrored(views, rows, grid, rng)
    index = views.index
    named = shares[:, 1 : len(index.classes) + 1]
    patches = named.shape[2]
    totals = named.sum(axis=2)
    location = np.zeros((len(rows) * instructions_per_view, patches + 1), dtype=np.float32)
    instructions: list[str] = []
    for number in range(len(location)):
        row = number // instructions_per_view
        visible = np.flatnonzero(totals[row] >= VISIBLE)
        if len(visible) and rng.random() >= absent_share:
            chosen = int(rng.choice(visible))
            name = index.classes[chosen]
            location[number, :patches] = named[row, chosen] / totals[row, chosen]
        else:
            absent = [index.classes[i] for i in np.flatnonzero(totals[row] == 0.0)]
            name = str(rng.choice([*absent, "", "", ""]))
            location[number, patches] = 1.0
        instructions.append(str(rng.choice(index.phrases[name])))
    objects = np.repeat(named.sum(axis=1) > 0.0, instructions_per_view, axis=0)
    return LocationBatch(
        _origin(rows),
        torch.from_numpy(pictures),
        instructions,
        torch.from_numpy(location),
        torch.from_numpy(objects),
    )


def _origin(rows: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"view {row}" for row in rows)


def _mirrored(
    views: GroundingViews, rows: NDArray[np.int64], grid: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures of `rows`, every other one mirrored, and the coverage of their patches by label."""
    pictures, classes = views.rgb[rows], views.classes[rows]
    mirrored = rng.random(len(rows)) < 0.5
    pictures[mirrored] = pictures[mirrored, :, ::-1]
    classes[mirrored] = classes[mirrored, :, ::-1]
    return pictures, patch_coverage(classes, grid)


def patch_loss(model: VLAModel, encoder: InstructionEncoder, batch: PatchBatch) -> Tensor:
    """CLIP's loss: binary cross-entropy of each patch with each sentence, per positive."""
    clip = clip_of(model)
    _, patches = clip.encode_image(normalise(batch.pictures, model.config.image))
    logits = clip.similarity(patches, clip.encode_text(*_clip_tokens(model, encoder, batch.texts)).unit)
    target = (batch.coverage * COVERAGE_GAIN).clamp(max=1.0)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    return loss / target.sum().clamp(min=1.0)


def clip_of(model: VLAModel) -> ClipGrounding:
    """The model's CLIP.

    Raises:
        TrainingConfigError: it has none, or does not compare words with patches.
    """
    if model.clip is None or "clip_similarity" not in model.config.features:
        raise TrainingConfigError("policy.fusion.features lacks clip_similarity: words are grounded in CLIP first")
    return model.clip


def _clip_tokens(model: VLAModel, encoder: InstructionEncoder, texts: list[str]) -> tuple[Tensor, Tensor]:
    if encoder.clip_tokenizer is None:
        raise TrainingConfigError("the policy has no tokenizer for CLIP: words are grounded in CLIP first")
    ids, mask = encode(encoder.clip_tokenizer, texts, clip_of(model).text_length)
    return ids.to(model.device), mask.to(model.device)


def take_vision_tower(model: VLAModel) -> None:
    """Copy CLIP's vision tower into Kosmos-2's, and freeze it there.

    Raises:
        TrainingConfigError: the towers are not of the same shape.
    """
    clip = clip_of(model)
    if model.config.backbone.type != "kosmos2":
        raise TrainingConfigError(
            f"policy.backbone.type is {model.config.backbone.type!r}: only kosmos2 has CLIP's vision tower"
        )
    tower: nn.Module = model.backbone.vision_tower.model  # type: ignore[assignment]
    source = clip.clip.vision_model.state_dict()
    own = tower.state_dict()
    differing = sorted(
        {name.removeprefix("vision_model.") for name in source} ^ set(own)
        | {name for name, value in own.items() if name in source and source[name].shape != value.shape}
    )
    if differing:
        raise TrainingConfigError(
            "policy.backbone.config.vision_config and policy.clip.config.vision_config must describe the same tower; "
            f"these weights differ: {', '.join(differing[:5])}"
        )
    tower.load_state_dict(source)
    tower.requires_grad_(False)


def location_logits(model: VLAModel, encoder: InstructionEncoder, head: LocationHead, batch: LocationBatch) -> Tensor:
    """Logits of where Kosmos-2's action token looks, (b * k, patches + 1), for a policy of one camera and no state."""
    images = model.encode_pictures(batch.pictures)
    images = images.repeat_interleave(len(batch.instructions) // len(images), dim=0)
    features = model.backbone_features(
        images[:, None, None], None, encoder.prompts(batch.instructions).to(model.device)
    )
    return head(features[:, 0])  # type: ignore[no-any-return]


def location_loss(model: VLAModel, encoder: InstructionEncoder, head: LocationHead, batch: LocationBatch) -> Tensor:
    """Kosmos-2's loss: cross-entropy of where the named thing is."""
    return nn.functional.cross_entropy(location_logits(model, encoder, head, batch), batch.location)


@torch.inference_mode()
def clip_pointing(model: VLAModel, encoder: InstructionEncoder, batch: LocationBatch) -> dict[str, float]:
    """How often CLIP's best patch shows the named thing (visible things only), with what knowing less would give.

    Returns:
        `accuracy`; `any_object`: for a patch drawn among those that show any named thing, as if the words were not
        heard; `chance`: for any patch.
    """
    clip = clip_of(model)
    _, patches = clip.encode_image(normalise(batch.pictures, model.config.image))
    texts = clip.encode_text(*_clip_tokens(model, encoder, batch.instructions)).unit
    patches = patches.repeat_interleave(len(texts) // len(patches), dim=0)
    similarity = clip.similarity(patches, texts.unsqueeze(1))[:, 0]
    seen = batch.location[:, -1] == 0.0
    shows = batch.location[:, :-1] > 0.0
    share = shows.sum(dim=1) / batch.objects.sum(dim=1).clamp(min=1)
    return {
        "accuracy": float(shows.gather(1, similarity.argmax(dim=1, keepdim=True))[seen].float().mean()),
        "any_object": float(share[seen].mean()),
        "chance": float(shows[seen].float().mean()),
    }


@torch.inference_mode()
def kosmos2_pointing(
    model: VLAModel, encoder: InstructionEncoder, head: LocationHead, batch: LocationBatch
) -> dict[str, float]:
    """The same for Kosmos-2's best patch, and how often it says `nowhere` when that is so and when it is not."""
    logits = location_logits(model, encoder, head, batch)
    nowhere = logits.argmax(dim=1) == logits.shape[1] - 1
    seen = batch.location[:, -1] == 0.0
    shows = batch.location[:, :-1] > 0.0
    return {
        "accuracy": float(shows.gather(1, logits[:, :-1].argmax(dim=1, keepdim=True))[seen].float().mean()),
        "nowhere_when_absent": float(nowhere[~seen].float().mean()),
        "nowhere_when_visible": float(nowhere[seen].float().mean()),
    }
