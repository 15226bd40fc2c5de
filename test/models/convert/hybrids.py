"""Small Simple-CLIP-LSTM checkpoints, what a user says of them, and the reference that their policies are held to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from tiny import SENTENCES
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from mobile_vla_models.benchmark.simple_clip_lstm import SimpleCLIPLSTM
from mobile_vla_models.convert.conversion import Source, Wanted, convert
from mobile_vla_models.convert.hybrid import hybrid_source
from mobile_vla_models.convert.hybrid_layout import HybridLayout, MlpLinear, MlpNorm, small
from mobile_vla_models.convert.hybrid_random import write_random_hybrid
from mobile_vla_models.convert.hybrid_settings import NORMALISATION, HybridSettings
from mobile_vla_models.convert.hybrid_source import read_hybrid
from mobile_vla_models.data.frames import Run
from mobile_vla_models.errors import MobileVLAError
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.precision import uniform
from mobile_vla_models.preprocessing import normalise
from mobile_vla_models.receipt import Receipt
from mobile_vla_models.text import train_tokenizer

WINDOW = 3
SIZE = 28
LATENTS = 4
ACTIONS = (("linear_x", "m/s"), ("angular_z", "rad/s"))
SCALE = 2.0


@dataclass(frozen=True)
class Recipe:
    """Features by our names and by the reference's, in the order of concatenation, and how the backbone is read."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    read_out: tuple[str, str] | None = ("all", "mean")


PLAIN = Recipe(("backbone", "clip_image_raw"), ("kosmos_text:mean", "clip_image"))
READING = Recipe(
    ("backbone", "backbone_vision", "clip_image_pooled", "clip_text_raw"),
    ("kosmos_text:mean", "kosmos_vision", "clip_image_pooled", "clip_text"),
)


def layout(
    *,
    width: int = 160,
    hidden: int = 64,
    norms: bool = True,
    outputs: int = 2,
    **changes: Any,
) -> HybridLayout:
    """`small`, with another head; the optimizer's state is left out."""
    norm = (MlpNorm(32),) if norms else ()
    mlp = (MlpLinear(hidden, 32), *norm, None, None, MlpLinear(32, 32), *norm, None, None, MlpLinear(32, outputs))
    made = small(fusion_inputs=width, **{"optimizer": False, **changes})
    return replace(made, lstm_hidden=hidden, mlp=mlp)


class Reference(SimpleCLIPLSTM):
    """The reference, and one more feature: the mean over the sentence's words alone."""

    @torch.no_grad()
    def features(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        image_position_mask: Tensor,
        clip_pixel_values: Tensor,
        clip_input_ids: Tensor,
    ) -> dict[str, Tensor]:
        found = super().features(pixel_values, input_ids, image_position_mask, clip_pixel_values, clip_input_ids)
        count = len(pixel_values)
        words = input_ids.expand(count, -1)
        states = self.kosmos_model(
            pixel_values=pixel_values,
            input_ids=words,
            attention_mask=torch.ones_like(words),
            image_embeds_position_mask=image_position_mask.expand(count, -1),
        ).last_hidden_state
        return {**found, "kosmos_text:words": states[:, 1 + LATENTS : -1].mean(dim=1)}


class Hybrids:
    """Checkpoints, tokenizer and configurations in a folder; each is written once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer: PreTrainedTokenizerFast = train_tokenizer(SENTENCES, vocab_size=300, max_length=32)
        self.tokenizer.save_pretrained(folder / "tokenizer")
        plain = layout()
        self.kosmos_config, self.clip_config = folder / "kosmos.json", folder / "clip.json"
        self.kosmos_config.write_text(json.dumps(dict(plain.kosmos)))
        self.clip_config.write_text(json.dumps(dict(plain.clip)))
        self._written: dict[str, Path] = {}

    def checkpoint(self, made: HybridLayout | None = None) -> Path:
        made = made if made is not None else layout()
        key = str(made)
        if key not in self._written:
            folder = self.folder / f"file{len(self._written)}"
            folder.mkdir()
            self._written[key] = folder / "model.pth"
            write_random_hybrid(self._written[key], made, 0, Progress(disable=True))
        return self._written[key]

    def changed(self, path: Path, change: Mapping[str, Tensor | None], made: HybridLayout | None = None) -> Path:
        """A checkpoint with tensors replaced, added, or (None) removed."""
        state: dict[str, Any] = dict(torch.load(self.checkpoint(made), weights_only=False)["model_state_dict"])
        for name, tensor in change.items():
            if tensor is None:
                del state[name]
            else:
                state[name] = tensor
        torch.save({"epoch": 3, "model_state_dict": state, "val_mae": 0.1}, path)
        return path

    def tensor(self, name: str, made: HybridLayout | None = None) -> Tensor:
        found: Tensor = torch.load(self.checkpoint(made), weights_only=False)["model_state_dict"][name]
        return found

    def settings(self, recipe: Recipe = PLAIN, **changes: Any) -> HybridSettings:
        said: dict[str, Any] = {
            "fusion_inputs": recipe.ours,
            "read_out": recipe.read_out,
            "fusion_activation": None,
            "activation": "relu",
            "final_tanh": True,
            "actions": ACTIONS,
            "action_scale": (SCALE,),
            "dt": 0.4,
            "window": WINDOW,
            "normalisation": NORMALISATION["imagenet"],
            "interpolation": "bilinear",
            "prompt": "<s>{front}{instruction}</s>",
            "tokenizer": str(self.folder / "tokenizer"),
            "clip_tokenizer": str(self.folder / "tokenizer"),
            "kosmos_config": self.kosmos_config,
            "clip_config": self.clip_config,
            "limits": None,
        }
        return HybridSettings(**{**said, **changes})

    def source(self, path: Path, settings: HybridSettings) -> Source:
        return hybrid_source(read_hybrid(path, settings.kosmos_config, settings.clip_config), settings)

    def convert(
        self,
        path: Path,
        out_dir: Path,
        settings: HybridSettings | None = None,
        *,
        precision: str = "fp32",
        parts: Mapping[str, str] | None = None,
        over: list[Run] | None = None,
        bound: float = 10.0,
        force: bool = False,
    ) -> Receipt:
        said = settings if settings is not None else self.settings()
        chosen = type(uniform(precision)).model_validate({**uniform(precision).model_dump(), **(parts or {})})
        wanted = Wanted(chosen, "cpu", bound, force)
        return convert(self.source(path, said), wanted, over or runs(1, 2), out_dir, Progress(disable=True))


def runs(count: int, frames: int, seed: int = 0) -> list[Run]:
    """Pictures in patches of colour under sentences."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, frames, 4, 4, 3), dtype=np.uint8)
    pictures = coarse.repeat(SIZE // 4, axis=2).repeat(SIZE // 4, axis=3)
    return [Run(SENTENCES[number], np.ascontiguousarray(pictures[number])) for number in range(count)]


def roll_out(policy: VLAPolicy, run: Run) -> NDArray[np.float32]:
    """Continuous actions of every step, (frames, chunk, k)."""
    policy.reset()
    return np.stack([policy.step(frame, run.instruction).continuous for frame in run.frames])


def reference_roll_out(
    reference: SimpleCLIPLSTM, policy: VLAPolicy, tokenizer: PreTrainedTokenizerFast, run: Run
) -> NDArray[np.float32]:
    """The reference's answer to each frame, from the window that ends there; (frames, outputs)."""
    pixels = normalise(torch.from_numpy(run.frames), policy.config.image)
    words = list(tokenizer(run.instruction, add_special_tokens=False)["input_ids"])
    ids = torch.tensor([[1, *[4] * LATENTS, *words, 3]])
    place = torch.arange(ids.shape[1])[None]
    mask = (place >= 1) & (place <= LATENTS)
    clip_ids = torch.tensor([[1, *words, 3]])
    answers = []
    for last in range(1, len(run.frames) + 1):
        window = pixels[max(0, last - WINDOW) : last]
        answers.append(reference(window, ids, mask, window, clip_ids).numpy())
    return np.stack(answers)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, and every empty folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def refused(folder: Path, kind: type[MobileVLAError], message: str) -> Iterator[None]:
    """Expect one error, and that nothing below `folder` is made, changed or removed by what raises it."""
    before = tree(folder)
    with pytest.raises(kind, match=message):
        yield
    assert tree(folder) == before
