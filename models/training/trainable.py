"""What trains: groups of parameters, LoRA adapters, gradient checkpointing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.pytorch_utils import Conv1D

from ..configuration import Strict
from ..errors import TrainingConfigError
from ..modeling import VLAModel
from .groups import ADDED, Group, decoder_blocks, parameter_groups

_SWITCHES: tuple[Group, ...] = ("embeddings", "language_head", "vision", "connector", "resampler", "clip")


class LoraConfig(Strict):
    """Low-rank adapters (Hu et al., 2022) on every linear layer of the groups; scaled by alpha / rank."""

    rank: int = Field(gt=0)
    alpha: float = Field(gt=0.0)
    dropout: float = Field(ge=0.0, lt=1.0)
    groups: tuple[Literal["decoder", "vision", "connector"], ...] = Field(min_length=1)


class TrainableConfig(Strict):
    """Which parameters train; see `groups.py` for what the groups hold.

    `decoder`: "all", "none", or k: the k last blocks, without the final norm. What the policy itself adds (action
    tokens, state encoder, fusion, head) always trains.
    """

    decoder: Literal["all", "none"] | Annotated[int, Field(gt=0, strict=True)]
    embeddings: bool
    language_head: bool
    vision: bool
    connector: bool
    resampler: bool
    clip: bool
    lora: LoraConfig | None
    gradient_checkpointing: bool

    @model_validator(mode="after")
    def _adapters_on_frozen_parts(self) -> TrainableConfig:
        for group in self.lora.groups if self.lora is not None else ():
            if getattr(self, group) not in (False, "none"):
                raise ValueError(f"lora.groups names {group}, whose own weights train: {getattr(self, group)!r}")
        return self


def set_trainable(model: VLAModel, config: TrainableConfig) -> None:
    """Freeze and thaw a model's parameters, put LoRA adapters in, switch gradient checkpointing.

    Only `requires_grad` decides what trains, and a frozen part passes gradients through to what lies before it. The
    mode (`train()` or `eval()`) is left as it is: it decides about dropout, which a configuration of a backbone sets,
    and about running statistics, which none of the towers has; it does not freeze and does not cut. But transformers
    checkpoints blocks only in training mode.

    Adapters begin as no change: their A is drawn from torch's global generator, their B is zero.

    Raises:
        TrainingConfigError: a group that the model lacks, more blocks than there are, nothing that trains, LoRA on a
            group without linear layers or on a model that has adapters, checkpointing that the model does not support.
        ModuleNotFoundError: LoRA without the package peft.
    """
    if "lora" in parameter_groups(model):
        raise TrainingConfigError("the model has LoRA adapters already; merge_lora folds them into its weights")
    _check_groups(model, config)
    if config.lora is not None:
        _add_lora(model, config.lora)
    names = trainable_names(model, config)
    if not names:
        raise TrainingConfigError("trainable: nothing trains")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
        if name not in names:
            parameter.grad = None
    _set_checkpointing(model, config)


def trainable_names(model: VLAModel, config: TrainableConfig) -> set[str]:
    """Names of the parameters that train under `config`, those of adapters that the model has included.

    Raises:
        TrainingConfigError: a group that the model lacks, or more blocks than there are.
    """
    _check_groups(model, config)
    groups = parameter_groups(model)
    names = {name for group in ADDED for name in groups.get(group, {})}
    for switch in _SWITCHES:
        if getattr(config, switch):
            names |= groups[switch].keys()
    if config.decoder == "all":
        names |= groups["decoder"].keys()
    elif config.decoder != "none":
        last = decoder_blocks(model.backbone)[-config.decoder :]
        members = {id(parameter) for block in last for parameter in block.parameters()}
        names |= {name for name, parameter in groups["decoder"].items() if id(parameter) in members}
    if config.lora is not None:
        names |= groups.get("lora", {}).keys()
    return names


def merge_lora(model: VLAModel) -> None:
    """Fold the adapters into the weights and put the plain layers back; the model then never had any.

    What trained beside them stays as it is. Weights of less than 32 bits are rounded once more by this.

    Raises:
        ValueError: there are none, or a merged weight is not finite.
        ModuleNotFoundError: without the package peft.
    """
    _require_peft()
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, module) for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
    if not adapted:
        raise ValueError("the model has no LoRA adapters to merge")
    for name, layer in adapted:
        layer.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.get_base_layer())
    del model.backbone.model.peft_config


def _check_groups(model: VLAModel, config: TrainableConfig) -> None:
    groups = parameter_groups(model)
    for switch in _SWITCHES:
        if getattr(config, switch) and switch not in groups:
            tied = switch == "language_head" and model.config.backbone.language_head
            reason = "its language head is tied to the embeddings" if tied else f"the model has no {switch}"
            raise TrainingConfigError(f"trainable.{switch} is true, but {reason}; it has {', '.join(groups)}")
    count = len(decoder_blocks(model.backbone))
    if isinstance(config.decoder, int) and config.decoder > count:
        raise TrainingConfigError(f"trainable.decoder asks for the {config.decoder} last blocks, the model has {count}")
    for group in config.lora.groups if config.lora is not None else ():
        if group not in groups:
            raise TrainingConfigError(f"trainable.lora.groups names {group}, which the model lacks")


def _require_peft() -> None:
    try:
        import peft  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("LoRA needs the package peft: pip install peft", name=error.name) from error


def _add_lora(model: VLAModel, config: LoraConfig) -> None:
    _require_peft()
    import peft

    vlm = model.backbone.model
    targets = {name for group in config.groups for name in _linear_layers(model, group)}
    # Injected into transformers' model in place: a wrapper around it would be a second path to the same weights.
    peft.inject_adapter_in_model(
        peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,  # type: ignore[arg-type]
            lora_dropout=config.dropout,
            target_modules=sorted(targets),
            init_lora_weights=True,
        ),
        vlm,
    )
    adapted = {name for name, module in vlm.named_modules() if isinstance(module, peft.tuners.lora.LoraLayer)}
    if adapted != targets:
        raise RuntimeError(f"peft adapted other layers than asked for: {', '.join(sorted(adapted ^ targets))}")


def _linear_layers(model: VLAModel, group: Group) -> list[str]:
    """Names, within transformers' model, of the linear layers whose weights are in the group."""
    vlm = model.backbone.model
    members = {id(parameter) for parameter in parameter_groups(model)[group].values()}
    # torch's own attention reads the weight of its output projection and never calls the layer.
    uncalled = {id(module.out_proj) for module in vlm.modules() if isinstance(module, nn.MultiheadAttention)}
    names = [
        name
        for name, module in vlm.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and id(module.weight) in members and id(module) not in uncalled
    ]
    if not names:
        raise TrainingConfigError(f"trainable.lora.groups names {group}, which has no linear layer in this model")
    return names


def _set_checkpointing(model: VLAModel, config: TrainableConfig) -> None:
    """Switch gradient checkpointing of the VLM's blocks (Chen et al., 2016), and see that it has taken effect."""
    vlm: PreTrainedModel = model.backbone.model
    # The name up to 5.22 and the name from 5.23 on, which warns of the former.
    if not config.gradient_checkpointing:
        (getattr(vlm, "activation_checkpointing_disable", None) or vlm.gradient_checkpointing_disable)()
        return
    try:
        enable = getattr(vlm, "activation_checkpointing_enable", None) or vlm.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    except ValueError as error:
        raise TrainingConfigError(f"trainable.gradient_checkpointing: {error}") from error
    # transformers makes embeddings require a gradient, for checkpoints that need an input that does. These do not,
    # and the hooks would send gradients through frozen towers and make a loss look trainable that trains nothing.
    if hasattr(vlm, "_require_grads_hooks"):
        vlm.disable_input_require_grads()
    name = type(vlm).__name__
    if not all(_checkpoints(block) for block in decoder_blocks(model.backbone)):
        raise TrainingConfigError(f"trainable.gradient_checkpointing: the decoder of {name} does not support it")
    vision = any(parameter.requires_grad for parameter in model.backbone.vision_tower.parameters())
    if vision and not any(_checkpoints(module) for module in model.backbone.vision_tower.modules()):
        raise TrainingConfigError(f"trainable.gradient_checkpointing: the vision tower of {name} does not support it")


def _checkpoints(block: nn.Module) -> bool:
    return isinstance(block, GradientCheckpointingLayer) and block.gradient_checkpointing
