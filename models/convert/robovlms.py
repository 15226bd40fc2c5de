"""Policies that RoboVLMs (Li et al., 2024) trained, as policy directories of this package.

Supported are its Kosmos-2 models with all of its heads, histories and read-outs, with whole weights or LoRA adapters.
Outputs, losses and gradients are the peer's (test/models/convert). Not taken over are three of its faults: decoding of
spoken actions among ids that are none, execution of the oldest frame's action with history "pre", and the influence of
padding on pooled read-outs and action tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import BackboneError, ConversionError
from ..hashing import sha256_of
from ..instruction import InstructionEncoder
from ..modeling import initialise
from ..policy import VLAPolicy
from ..policy_directory import PolicyParts
from .robovlms_checkpoint import merge_adapters, read_state_dict
from .robovlms_config import translate
from .robovlms_document import read_configuration, tokenizer_path
from .robovlms_prompt import load_tokenizer
from .robovlms_weights import fill

SOURCE = "RoboVLMs"


@dataclass(frozen=True)
class Conversion:
    """A converted policy, not yet written.

    Attributes:
        policy: ready to run.
        checkpoint: it was converted from.
        sha256: of that file.
        document: the peer's configuration, inherited keys filled in.
        tensors: in the checkpoint, adapters and second copies included.
        dropped: of these the ones that were not needed, with the reason why.
        notes: differences that are meant, and keys of the configuration without the effect that they seem to have.
    """

    policy: VLAPolicy
    checkpoint: Path
    sha256: str
    document: dict[str, Any]
    tensors: int
    dropped: dict[str, str]
    notes: tuple[str, ...]

    def save(self, out_dir: str | PathLike[str]) -> Path:
        """Write the policy directory, whole or not at all.

        Raises:
            PolicyDirectoryError: `out_dir` exists and is something else.
        """
        training = {
            "converted_from": SOURCE,
            "checkpoint": self.checkpoint.name,
            "sha256": self.sha256,
            "tensors": self.tensors,
            "dropped": self.dropped,
            "notes": list(self.notes),
            "configuration": self.document,
        }
        self.policy.save_pretrained(out_dir, training, self._model_card())
        return Path(out_dir)

    def _model_card(self) -> str:
        config = self.policy.config
        actions = ", ".join((*(action.name for action in config.action.continuous), *config.action.binary))
        notes = "".join(f"- {note}\n" for note in self.notes) or "- none\n"
        return (
            f"# {self.document.get('task_name', self.checkpoint.stem)}\n\n"
            f"A {SOURCE} policy, converted from `{self.checkpoint.name}` (sha256 `{self.sha256}`).\n\n"
            f"- actions: {actions}; {config.chunk} steps of {config.dt:g} s; no limits of a wheeled base\n"
            f"- cameras: {', '.join(config.cameras)}; pictures of {config.image.size} x {config.image.size}\n"
            f"- backbone {config.backbone.type}, history {config.history}, window {config.window}, "
            f"head {config.head.type}\n"
            f"- {self.policy.model.parameter_count():,} parameters\n\n"
            f"Units and ranges of the actions are those of its training data; gripper 1 is open, as CALVIN has it. "
            f"`training.json` holds the configuration that it was trained with.\n\n## Notes\n\n{notes}"
        )


def read_robovlms(config: Path, checkpoint: Path, dt: float) -> Conversion:
    """Make a policy of what RoboVLMs saved.

    Args:
        config: RoboVLMs' JSON. Paths in it (vlm and tokenizer) lead to local directories, from the working directory
            as in RoboVLMs itself.
        checkpoint: the file of weights, see `read_state_dict`.
        dt: seconds between frames; RoboVLMs' files do not say it.

    Raises:
        ConversionError: something cannot be read, said or accounted for; the message names it and what is supported.
    """
    document = read_configuration(config)
    tokenizer = load_tokenizer(tokenizer_path(document))
    translation = translate(document, tokenizer, dt)
    state_dict = read_state_dict(checkpoint)
    tensors, dropped = merge_adapters(state_dict, translation.lora)
    try:
        model = initialise(translation.config, seed=0)
    except (BackboneError, ValueError) as error:
        raise ConversionError(f"{config}: no model can be built of it ({error})") from error
    dropped |= fill(model, tensors)
    try:
        encoder = InstructionEncoder(translation.config, tokenizer, None)
    except ValueError as error:
        raise ConversionError(f"{config}: {error}") from error
    return Conversion(
        policy=VLAPolicy(PolicyParts(translation.config, model, encoder)),
        checkpoint=checkpoint,
        sha256=sha256_of(checkpoint),
        document=document,
        tensors=len(state_dict),
        dropped=dropped,
        notes=translation.notes,
    )


def convert_robovlms(config: Path, checkpoint: Path, out_dir: Path, dt: float) -> Path:
    """Write the policy directory of what RoboVLMs saved; arguments and errors as `read_robovlms`.

    Returns:
        `out_dir`.

    Raises:
        PolicyDirectoryError: `out_dir` exists and is something else.
    """
    return read_robovlms(config, checkpoint, dt).save(out_dir)
