"""The policy directories `last` and `best`: whole at any time, with what made them."""

from __future__ import annotations

import copy
import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from ..data.episode import Episode, Signal
from ..hashing import sha256_of
from ..instruction import InstructionEncoder
from ..modeling import VLAModel
from ..policy import VLAPolicy
from ..policy_directory import PolicyParts, read_training
from ..policy_entries import WEIGHTS
from .groups import parameter_groups
from .model_card import model_card
from .trainable import merge_lora

LAST, BEST = "last", "best"


class PolicyKeeper:
    """Writes a model's weights as policy directories.

    Args:
        folder: in which they are.
        model: that trains; adapters are folded into copies of it.
        encoder: of its instructions.
        training: of training.json, without what is measured.
        recipe: commands that lead to the weights.
        leads: whether this process writes.
        sharded: whether the processes share the weights.
    """

    def __init__(
        self,
        folder: Path,
        model: VLAModel,
        encoder: InstructionEncoder,
        training: dict[str, Any],
        recipe: list[str],
        *,
        leads: bool,
        sharded: bool,
    ) -> None:
        # A sharded module cannot be copied: what it is gathered into is copied before.
        self._shell = copy.deepcopy(model) if sharded and leads else None
        self._sharded = sharded
        self._folder, self._model, self._encoder = folder, model, encoder
        self._training, self._recipe, self._leads = training, recipe, leads

    def __call__(self, module: nn.Module, step: int, metrics: dict[str, float], best: bool) -> None:
        """Write `last`, and `best` if these are; every process calls it."""
        model = self._whole(module)
        if not self._leads:
            return
        training = {**self._training, "step": step, "imitation": metrics}
        policy = VLAPolicy(PolicyParts(model.config, model, self._encoder))
        card = model_card(model.config, training, self._recipe)
        for name in (LAST, BEST) if best else (LAST,):
            policy.save_pretrained(self._folder / name, training, card)

    def _whole(self, module: nn.Module) -> VLAModel:
        """The model with plain weights, whole: itself, or a copy."""
        model = self._model
        if self._sharded:
            options = StateDictOptions(full_state_dict=True, cpu_offload=True)
            state = get_model_state_dict(module, options=options)
            if self._shell is None:
                return model
            model = self._shell
            model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
        if "lora" in parameter_groups(model):
            model = copy.deepcopy(model)
            merge_lora(model)
        return model


def data_hash(episodes: Sequence[Episode]) -> str:
    """SHA-256 of episodes: sentences, times, numbers, and of each camera the first picture."""
    digest = hashlib.sha256()
    for episode in track(episodes, description="hash of the data", transient=True):
        digest.update(f"{episode.source} {episode.instruction} {episode.begin} {episode.end}".encode())
        for signal in (episode.actions, episode.odometry):
            if isinstance(signal, Signal):
                digest.update(repr(signal.names).encode() + signal.stamps.tobytes() + signal.values.tobytes())
        for name, pictures in sorted(episode.cameras.items()):
            digest.update(name.encode() + pictures.stamps.tobytes())
            if len(pictures.stamps):
                digest.update(np.ascontiguousarray(pictures.read([0])[0]).tobytes())
    return digest.hexdigest()


def git_revision() -> str:
    """Of the working directory; "unknown" outside of a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def started_from(directory: Path) -> dict[str, Any]:
    """What is known of a policy that a training goes on with.

    Raises:
        PolicyDirectoryError: its training.json cannot be read.
    """
    before = read_training(directory)
    return {
        "policy": str(directory),
        "sha256": sha256_of(directory / WEIGHTS),
        "training": {name: value for name, value in before.items() if name != "data"},
    }


def provenance(config_path: Path, seed: int, model: VLAModel) -> dict[str, Any]:
    """What is known of a training before it begins."""
    return {
        "configuration": str(config_path),
        "seed": seed,
        "git_revision": git_revision(),
        "torch": torch.__version__,
        "parameters": model.parameter_count(),
    }
