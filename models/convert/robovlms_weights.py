"""RoboVLMs' tensors into a policy's model: all of the model's are filled, all of the checkpoint's accounted for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..documents import first_of
from ..errors import ConversionError
from ..modeling import VLAModel
from ..weights import stored_tensors

_NAMES = (
    ("backbone.", "backbone.model."),
    ("vision_resampler.", "resampler."),
    ("act_head.actions.", "head.continuous."),
    ("act_head.gripper.", "head.binary."),
    ("act_head.", "head."),
)
# What checkpoints hold beside weights that a policy needs.
_UNNEEDED = (
    (r"act_head\.gpt\.h\.\d+\.attn\.(bias|masked_bias)", "the causal mask of the GPT head, no weight"),
    (r"clip_norm_head\..*", "only for a loss in training (use_clip_norm)"),
    (r"backbone\..*\.position_ids", "numbers from 0, no weight"),
    (r"backbone\.text_model\.model\.embed_positions\.weights", "sines, computed"),
)
_LANGUAGE_HEAD = "backbone.text_model.lm_head.weight"
_WORDS = "backbone.text_model.model.embed_tokens.weight"
_ACTION_TOKEN = "action_token"


def our_name(name: str) -> str:
    """The name of a RoboVLMs tensor in `VLAModel`."""
    if name == _ACTION_TOKEN:
        return "action_tokens"
    for theirs, ours in _NAMES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def fill(model: VLAModel, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Copy a checkpoint into a model, floating point as float32.

    RoboVLMs has one vector for all action tokens: each of the model's tokens begins as it.

    Args:
        model: changed in place.
        tensors: by RoboVLMs' names, adapters merged.

    Returns:
        What was not needed, with the reason why.

    Raises:
        ConversionError: tensors missing, left over, of another shape (both are named) or not finite.
    """
    tensors, dropped = _without_unneeded(model, tensors)
    expected = stored_tensors(model)
    sources: dict[str, tuple[str, Tensor]] = {}
    findings = []
    for name, tensor in tensors.items():
        ours = our_name(name)
        if ours not in expected:
            findings.append(f"{name} {tuple(tensor.shape)} has no place in this policy")
            continue
        target = expected[ours]
        if name == _ACTION_TOKEN and tensor.dim() == 1:
            tensor = tensor.expand(len(target), -1)
        if tensor.shape != target.shape:
            findings.append(f"{name} has shape {tuple(tensor.shape)}, {ours} has {tuple(target.shape)}")
        sources[ours] = name, tensor
    findings += [
        f"nothing in the checkpoint fills {ours} {tuple(expected[ours].shape)}"
        for ours in sorted(expected.keys() - sources.keys())
    ]
    findings += [f"{name} is not finite" for name, tensor in sources.values() if not bool(tensor.isfinite().all())]
    if findings:
        raise ConversionError(f"checkpoint and configuration do not fit: {first_of(findings, 8)}")
    with torch.no_grad():
        for ours, (_, tensor) in sources.items():
            expected[ours].copy_(tensor)
    return dropped


def _without_unneeded(model: VLAModel, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    kept: dict[str, Tensor] = {}
    dropped: dict[str, str] = {}
    for name, tensor in tensors.items():
        reason = next((why for pattern, why in _UNNEEDED if re.fullmatch(pattern, name)), None)
        if name == _LANGUAGE_HEAD:
            reason = _reason_without_language_head(model, tensors)
        if reason is None:
            kept[name] = tensor
        else:
            dropped[name] = reason
    return kept, dropped


def _reason_without_language_head(model: VLAModel, tensors: Mapping[str, Tensor]) -> str | None:
    """Why the language head is not needed; None if it is."""
    if not model.config.backbone.language_head:
        return "continuous actions are not spoken: no language head"
    if our_name(_LANGUAGE_HEAD) in stored_tensors(model):
        return None
    if _WORDS in tensors and torch.equal(tensors[_LANGUAGE_HEAD], tensors[_WORDS]):
        return "equal to the word embeddings, which it is tied to"
    raise ConversionError(
        f"{_LANGUAGE_HEAD} differs from {_WORDS}, but the model's configuration ties them, and its actions are spoken"
    )
