"""The recorded cases of RoboVLMs: its configuration and checkpoint as it would have written them, and its numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import formula
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from mobile_vla_models.modeling import Observation
from mobile_vla_models.policy import VLAPolicy

FIXTURES = Path(__file__).parent / "fixtures"
DT = 0.0333
SIDE = 56

TRAINED = (
    "fc_post",
    "gpt_post",
    "gpt_post_eq",
    "gpt_post_eq_latent2",
    "hand_latent2",
    "kosmos_lstm_post",
    "pool_all",
    "pool_all_fc_latent2",
    "pool_text",
    "pool_text_pre",
    "pool_vision",
    "pool_vision_hand",
    "pre_hand_latent2",
    "pre_lstm",
    "resampler",
)
# Recorded at run time only: RoboVLMs cannot train the first, and the second differs from kosmos_lstm_post in weights.
CONTINUOUS = (*TRAINED, "video_fc_hand_latent2", "lora")
DISCRETE = ("discrete_hand", "discrete_hand_w1")


@dataclass(frozen=True)
class Case:
    """One recorded model; its weights and pictures are computed (`formula.py`), its outputs are read."""

    name: str

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Recorded ids, outputs, losses and gradients."""
        with safe_open(FIXTURES / f"{self.name}.safetensors", "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

    @cached_property
    def gradient_names(self) -> list[str]:
        """Names of the parameters that `grad_norms` is of, in its order."""
        with safe_open(FIXTURES / f"{self.name}.safetensors", "pt") as file:
            names: list[str] = json.loads(file.metadata()["gradients"])
            return names

    def document(self) -> dict[str, Any]:
        """The configuration, with the directory of its backbone where it lies here."""
        text = (FIXTURES / f"{self.name}.json").read_text(encoding="utf-8")
        document: dict[str, Any] = json.loads(text.replace("kosmos2_tiny", (FIXTURES / "kosmos2_tiny").as_posix()))
        return document

    def state_dict(self) -> dict[str, Tensor]:
        """The peer's state dict, by its own names."""
        manifests = json.loads((FIXTURES / "state_dicts.json").read_text(encoding="utf-8"))
        manifest = manifests[self.name]
        if self.name != "lora":
            manifest = manifests["backbone"] | manifest
        tensors: dict[str, Tensor] = {}
        for name, shape in manifest.items():
            if name.endswith(".attn.bias"):
                tensors[name] = torch.ones(shape, dtype=torch.uint8).tril()
            elif name.endswith(".attn.masked_bias"):
                tensors[name] = torch.tensor(-1e4)
            else:
                tensors[name] = torch.from_numpy(formula.weight(_first_copy(name), shape))
        return tensors

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Configuration and checkpoint, as Lightning saves it."""
        config, checkpoint = folder / f"{self.name}.json", folder / f"{self.name}.ckpt"
        config.write_text(json.dumps(self.document()), encoding="utf-8")
        torch.save(lightning(self.state_dict(), self.document()), checkpoint)
        return config, checkpoint

    def run_pictures(self, steps: int, cameras: int) -> NDArray[np.uint8]:
        """Pictures of the roll-out, (steps, cameras, h, w, 3), front before hand."""
        return formula.pictures(f"{self.name}/run", (steps, cameras, SIDE, SIDE, 3))

    def batch(self, policy: VLAPolicy) -> tuple[Observation, dict[str, Tensor]]:
        """The training batch: windows, and `continuous`, `binary`, `mask`."""
        config = policy.config
        shape = (formula.BATCH, config.window, len(config.cameras), SIDE, SIDE, 3)
        labels = formula.training_labels(self.name, config.window, config.chunk)
        observation = Observation(torch.from_numpy(formula.pictures(f"{self.name}/batch", shape)))
        return observation, {name: torch.from_numpy(label) for name, label in labels.items()}


def lightning(state_dict: dict[str, Tensor], document: dict[str, Any]) -> dict[str, Any]:
    """What Lightning's `Trainer.save_checkpoint` writes of the peer's LightningModule."""
    return {
        "epoch": 1,
        "global_step": 100,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"model.{name}": tensor for name, tensor in state_dict.items()},
        "loops": {},
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"configs": document},
    }


def _first_copy(name: str) -> str:
    return name.replace("model.base_model.model.", "backbone.", 1) if name.startswith("model.") else name
