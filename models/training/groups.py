"""Parameters by module group: what training can freeze, thaw, or put adapters on."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from ..backbone import Backbone
from ..modeling import VLAModel

Group = Literal[
    "decoder",
    "embeddings",
    "language_head",
    "vision",
    "connector",
    "lora",
    "resampler",
    "state_encoder",
    "action_tokens",
    "clip",
    "fusion",
    "head",
]
GROUPS: tuple[Group, ...] = get_args(Group)
ADDED: tuple[Group, ...] = ("state_encoder", "action_tokens", "fusion", "head")


def parameter_groups(model: VLAModel) -> dict[Group, dict[str, nn.Parameter]]:
    """Every parameter in exactly one group, by the name that `named_parameters` gives it; only groups that exist.

    - `decoder`: the text tower's blocks and final norm.
    - `embeddings`: the word embedding; a language head that is tied to it is the same tensor.
    - `language_head`: one that is not tied.
    - `vision`: the vision tower.
    - `connector`: whatever else the backbone has, such as projections, a resampler of its own, gated cross-attention.
      Qwen-VL's towers hold their projection, by the name of `merger`; it counts here.
    - `lora`: adapters, whatever they are on.
    - `resampler`, `state_encoder`, `action_tokens`, `clip`, `fusion`, `head`: the parts of VLAModel.

    Raises:
        ValueError: a parameter is in no group or in two; it is named.
    """
    backbone = model.backbone
    members: dict[Group, set[int]] = {
        **_backbone_members(backbone),
        "resampler": _identities(model.resampler),
        "state_encoder": _identities(model.state_encoder),
        "action_tokens": set() if model.action_tokens is None else {id(model.action_tokens)},
        "clip": _identities(model.clip),
        "fusion": _identities(model.fusion),
        "head": _identities(model.head),
    }
    groups: dict[Group, dict[str, nn.Parameter]] = {group: {} for group in GROUPS}
    for name, parameter in model.named_parameters():
        found = [group for group, identities in members.items() if id(parameter) in identities]
        if is_adapter(name):
            found = ["lora"]
        if len(found) != 1:
            where = f"in the groups {' and '.join(found)}" if found else "in no group"
            raise ValueError(f"parameter {name} {tuple(parameter.shape)} is {where}; each must be in one")
        groups[found[0]][name] = parameter
    return {group: parameters for group, parameters in groups.items() if parameters}


def decoder_blocks(backbone: Backbone) -> list[nn.Module]:
    """The decoder's blocks, first one first."""
    return list(backbone.text_tower.layers)  # type: ignore[arg-type]


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name is part of an adapter that peft put in."""
    return not {"lora_A", "lora_B"}.isdisjoint(name.split("."))


def _backbone_members(backbone: Backbone) -> dict[Group, set[int]]:
    mergers = [part for name, part in backbone.vision_tower.named_children() if "merger" in name]
    embeddings = _identities(backbone.word_embedding)
    members: dict[Group, set[int]] = {
        "decoder": _decoder_members(backbone) - embeddings,
        "embeddings": embeddings,
        "language_head": _identities(backbone.model.get_output_embeddings()) - embeddings,
        "vision": _identities(backbone.vision_tower) - _identities(*mergers),
    }
    members["connector"] = _identities(backbone).difference(*members.values())
    return members


def _decoder_members(backbone: Backbone) -> set[int]:
    tower = backbone.text_tower
    if not any(module is backbone.vision_tower for module in tower.modules()):
        return _identities(tower)
    # Idefics keeps its decoder, vision tower and cross-attention side by side in one module.
    norms = [part for part in tower.children() if "norm" in type(part).__name__.lower()]
    return _identities(*decoder_blocks(backbone), *norms)


def _identities(*modules: nn.Module | None) -> set[int]:
    return {id(parameter) for module in modules if module is not None for parameter in module.parameters()}
