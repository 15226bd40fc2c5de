"""Backbones by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib.metadata import entry_points
from typing import Any, TypeVar

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForImageTextToText, PretrainedConfig

from ..errors import BackboneError
from .base import Backbone

# Published configurations hold these whatever the model; until transformers 5 all its configurations had them.
_KEYS_OF_ANY_MODEL = {
    "_attn_implementation_autoset",
    "architectures",
    "bos_token_id",
    "decoder_start_token_id",
    "eos_token_id",
    "model_type",
    "pad_token_id",
    "rope_scaling",
    "rope_theta",
    "sep_token_id",
    "tie_word_embeddings",
    "torch_dtype",
    "use_cache",
}
ENTRY_POINTS = "mobile_vla_models.backbones"
_REGISTRY: dict[str, type[Backbone]] = {}
B = TypeVar("B", bound=type[Backbone])


def register_backbone(name: str) -> Callable[[B], B]:
    """Class decorator: make a backbone known by `name`, the `backbone.type` of a policy's configuration.

    Raises:
        BackboneError: the name is taken.
    """

    def register(backbone: B) -> B:
        if _REGISTRY.setdefault(name, backbone) is not backbone:
            raise BackboneError(f"backbone {name!r} is registered already, as {_REGISTRY[name].__name__}")
        return backbone

    return register


def registered_backbones() -> dict[str, type[Backbone]]:
    """All backbones by name."""
    return dict(_REGISTRY)


def find_backbone(name: str) -> type[Backbone]:
    """The backbone of that name, from here or from an installed package that declares it as an entry point.

    Raises:
        BackboneError: there is none; the known ones are named.
    """
    if name in _REGISTRY:
        return _REGISTRY[name]
    declared = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in declared:
        raise BackboneError(f"unknown backbone {name!r}; known: {', '.join(sorted({*_REGISTRY, *declared}))}")
    declared[name].load()
    if name not in _REGISTRY:
        raise BackboneError(f"entry point {declared[name].value} registers no backbone {name!r}")
    return _REGISTRY[name]


def backbone_configuration(document: dict[str, Any]) -> PretrainedConfig:
    """Configuration of a model, as transformers has it, from its dictionary; `model_type` says of which class.

    Raises:
        BackboneError: no or an unknown `model_type`, or a key that the class does not have; it is named.
    """
    model_type = document.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        raise BackboneError(f"backbone.config.model_type is {model_type!r}, no model that transformers knows")
    refuse_unknown_keys("backbone.config", document, CONFIG_MAPPING[model_type])
    try:
        # transformers takes nested dictionaries over and writes into them.
        return CONFIG_MAPPING[model_type](**deepcopy(document))
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise BackboneError(f"backbone.config: {error}") from error


def refuse_unknown_keys(path: str, document: dict[str, Any], config: type[PretrainedConfig]) -> None:
    """Raise BackboneError for keys of `document` that `config` does not have; transformers would keep them silently."""
    unknown = [name for name, _, _ in unknown_keys(path, document, config)]
    if unknown:
        raise BackboneError(f"unknown key {', '.join(unknown)}: {config.__name__} and its parts do not have it")


def unknown_keys(
    path: str, document: dict[str, Any], config: type[PretrainedConfig], default: PretrainedConfig | None = None
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Keys of a configuration that its class does not have, nested ones too.

    Args:
        path: of `document` in the policy's configuration, for messages.
        document: a configuration of transformers as a dictionary, nested ones in it.
        config: the class it is for.
        default: what stands there by default, if it is nested in another; that one may have added keys.

    Yields:
        The key with its path, the dictionary that it is in, the key.

    Raises:
        BackboneError: a nested `model_type` that transformers does not know.
    """
    filled = config()
    known = filled.to_dict().keys() | config.attribute_map.keys() | _KEYS_OF_ANY_MODEL
    if default is not None:
        known |= default.to_dict().keys()
    for key, value in document.items():
        if key not in known:
            yield f"{path}.{key}", document, key
        elif key in config.sub_configs and isinstance(value, dict):
            part = getattr(filled, key)
            kind = type(part)
            if config.sub_configs[key] is AutoConfig and "model_type" in value:
                if value["model_type"] not in CONFIG_MAPPING:
                    raise BackboneError(
                        f"{path}.{key}.model_type is {value['model_type']!r}, no model that transformers knows"
                    )
                kind = CONFIG_MAPPING[value["model_type"]]
            yield from unknown_keys(f"{path}.{key}", value, kind, part)


def build_backbone(name: str, config: PretrainedConfig, language_head: bool) -> Backbone:
    """A backbone with freshly drawn weights, from torch's global generator.

    Raises:
        BackboneError: unknown name, or a part of the interface is missing.
    """
    backbone = find_backbone(name)
    # A released configuration says in which precision it was stored; what the policy adds is float32.
    return backbone(AutoModelForImageTextToText.from_config(config, dtype=torch.float32), language_head)
