"""First stage: the words are grounded. CLIP learns patch by patch what is where, Kosmos-2's action token where to look.

Imitation alone does not teach a small policy to listen: its loss is low long before the words matter. Here they are
all that matters: every picture is compared with every name, look-alikes and absent things included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.views import FLOOR, WALL, GroundingViews, ViewsIndex, patch_coverage
from ..errors import TrainingConfigError
from ..instruction import InstructionEncoder
from ..modeling import VLAModel
from ..preprocessing import normalise
from ..text import encode

# What constant similarity prompts mean in the labels of the views.
SCENE_PROMPTS: Mapping[str, tuple[int, ...] | None] = {"any object": None, "the wall": (WALL,), "the floor": (FLOOR,)}
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
class GroundingBatch:
    """Pictures with their labels.

    Attributes:
        pictures: uint8 (b, s, s, 3).
        texts: n sentences, compared with every picture.
        coverage: float32 (b, n, patches), share of each patch that shows what each sentence names.
        instructions: b sentences, one for each picture, for Kosmos-2.
        location: float32 (b, patches + 1), where that sentence's thing is; rows sum to 1, last column: nowhere.
    """

    pictures: Tensor
    texts: list[str]
    coverage: Tensor
    instructions: list[str]
    location: Tensor


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


def draw_batch(
    views: GroundingViews,
    rows: NDArray[np.int64],
    grid: int,
    prompts: tuple[str, ...],
    absent_share: float,
    rng: np.random.Generator,
) -> GroundingBatch:
    """Label the views of `rows`, with sentences drawn by `rng`."""
    index = views.index
    shares = patch_coverage(views.classes[rows], grid)
    named = shares[:, 1 : len(index.classes) + 1]
    texts = [str(rng.choice(index.phrases[name])) for name in (*index.classes, "")]
    coverage = [named, np.zeros_like(named[:, :1])]
    for prompt in prompts:
        labels = SCENE_PROMPTS[prompt]
        part = named if labels is None else shares[:, list(labels)]
        coverage.append(part.sum(axis=1, keepdims=True))
    instructions, location = _draw_instructions(index, named, absent_share, rng)
    return GroundingBatch(
        pictures=torch.from_numpy(views.rgb[rows]),
        texts=[*texts, *prompts],
        coverage=torch.from_numpy(np.concatenate(coverage, axis=1)),
        instructions=instructions,
        location=torch.from_numpy(location),
    )


def _draw_instructions(
    index: ViewsIndex, named: NDArray[np.float32], absent_share: float, rng: np.random.Generator
) -> tuple[list[str], NDArray[np.float32]]:
    batch, _, patches = named.shape
    instructions: list[str] = []
    location = np.zeros((batch, patches + 1), dtype=np.float32)
    totals = named.sum(axis=2)
    for row in range(batch):
        visible = np.flatnonzero(totals[row] >= VISIBLE)
        if len(visible) and rng.random() >= absent_share:
            chosen = int(rng.choice(visible))
            name = index.classes[chosen]
            location[row, :patches] = named[row, chosen] / totals[row, chosen]
        else:
            absent = [index.classes[i] for i in np.flatnonzero(totals[row] == 0.0)]
            name = str(rng.choice([*absent, "", "", ""]))
            location[row, patches] = 1.0
        instructions.append(str(rng.choice(index.phrases[name])))
    return instructions, location


def grounding_losses(
    model: VLAModel, encoder: InstructionEncoder, head: LocationHead, batch: GroundingBatch
) -> tuple[Tensor, Tensor]:
    """Losses of both towers: (patch-by-patch sigmoid loss of CLIP, cross-entropy of Kosmos-2's location)."""
    logits = clip_logits(model, encoder, batch)
    target = (batch.coverage * COVERAGE_GAIN).clamp(max=1.0)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    dense = loss / target.sum().clamp(min=1.0)
    location = nn.functional.cross_entropy(location_logits(model, encoder, head, batch), batch.location)
    return dense, location


def clip_logits(model: VLAModel, encoder: InstructionEncoder, batch: GroundingBatch) -> Tensor:
    """Similarity logits of every patch with every text, (b, n, patches)."""
    ids, mask = encode(encoder.clip_tokenizer, batch.texts, model.config.clip_text_length)
    _, patches = model.clip.encode_image(normalise(batch.pictures, model.config.image))
    return model.clip.similarity(patches, model.clip.encode_text(ids, mask))


def location_logits(
    model: VLAModel, encoder: InstructionEncoder, head: LocationHead, batch: GroundingBatch
) -> Tensor:
    """Logits of where Kosmos-2's action token looks, (b, patches + 1)."""
    prompts = [model.config.prompt.replace("{instruction}", text) for text in batch.instructions]
    ids, mask = encode(encoder.kosmos2_tokenizer, prompts, model.config.kosmos2_text_length)
    latents = model.kosmos2.encode_image(normalise(batch.pictures, model.config.image))
    return head(model.kosmos2.read_action(latents, ids, mask))  # type: ignore[no-any-return]


@torch.inference_mode()
def pointing_accuracy(
    model: VLAModel, encoder: InstructionEncoder, head: LocationHead, batch: GroundingBatch
) -> dict[str, float]:
    """How often the towers point at the named thing: the best patch shows it (visible things only).

    Returns:
        `clip`, `kosmos2`: accuracies on each picture's instruction; `chance`: a patch drawn at random;
        `any_object`: a patch drawn at random among those that show any named thing (what ignoring the words gives);
        `kosmos2_absent`: how often `nowhere` is said when it is.
    """
    seen = batch.location[:, -1] == 0.0
    logits = location_logits(model, encoder, head, batch)
    ids, mask = encode(encoder.clip_tokenizer, batch.instructions, model.config.clip_text_length)
    _, patches = model.clip.encode_image(normalise(batch.pictures, model.config.image))
    similarity = model.clip.similarity(patches, model.clip.encode_text(ids, mask).unsqueeze(1))[:, 0]
    shows = batch.location[:, :-1] > 0.0
    named = len(batch.texts) - sum(text in SCENE_PROMPTS for text in batch.texts) - 1
    objects = batch.coverage[:, :named].sum(dim=1) > 0.0
    share = shows.sum(dim=1) / objects.sum(dim=1).clamp(min=1)
    return {
        "clip": float(shows.gather(1, similarity.argmax(dim=1, keepdim=True))[seen].float().mean()),
        "kosmos2": float(shows.gather(1, logits[:, :-1].argmax(dim=1, keepdim=True))[seen].float().mean()),
        "chance": float(shows[seen].float().mean()),
        "any_object": float(share[seen].mean()),
        "kosmos2_absent": float((logits.argmax(dim=1) == logits.shape[1] - 1)[~seen].float().mean()),
    }
