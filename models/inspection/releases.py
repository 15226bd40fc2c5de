"""Released models that are known by their widths, with what widths do not show: heads, activations, epsilons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .widths import Kind


@dataclass(frozen=True)
class Release:
    """A model as its makers released it.

    Attributes:
        name: on the hub.
        kind: of model.
        config: keys and values of its transformers configuration.
    """

    name: str
    kind: Kind
    config: dict[str, Any]


# Keys that a file may differ in and still be of the release: blocks cut away, words added.
_MAY_DIFFER = (
    ("text_config", "layers"),
    ("text_config", "num_hidden_layers"),
    ("text_config", "vocab_size"),
    ("vision_config", "num_hidden_layers"),
)


def released(kind: Kind, widths: Mapping[str, Any]) -> Release | None:
    """The release that has these widths.

    Layers and vocabulary are not compared: `deviations` says in which of these a file differs.

    Args:
        kind: of model.
        widths: of `kosmos2_widths` or `clip_widths`.
    """
    for release in RELEASES:
        if release.kind == kind and all(
            _at(release.config, path) == value for path, value in _values(widths).items() if path not in _MAY_DIFFER
        ):
            return release
    return None


def deviations(release: Release, widths: Mapping[str, Any]) -> tuple[str, ...]:
    """In what a model of a release's widths differs from it, in words; empty if in nothing."""
    said = []
    for path, found in _values(widths).items():
        value = _at(release.config, path)
        if found != value:
            tower, key = path[0].replace("_config", "_model"), path[-1]
            unit = "words" if key == "vocab_size" else "layers"
            said.append(f"{tower} has {found:,} {unit}, {release.name} has {value:,}")
    return tuple(said)


def _values(widths: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Every key of a nested configuration by its path."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in widths.items():
        if isinstance(value, Mapping):
            found.update({(key, *path): leaf for path, leaf in _values(value).items()})
        else:
            found[(key,)] = value
    return found


def _at(config: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = config
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _clip(name: str, projection_dim: int, text: dict[str, int], vision: dict[str, int]) -> Release:
    common = {
        "projection_dim": projection_dim,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "initializer_factor": 1.0,
    }
    # As released. transformers takes an eos_token_id of 2 to mean: read a text at its highest token id, which is CLIP's
    # end of text, 49407.
    tokens = {
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    config = {
        "model_type": "clip",
        "projection_dim": projection_dim,
        "logit_scale_init_value": 2.6592,
        "initializer_factor": 1.0,
        "text_config": {"model_type": "clip_text_model", **common, **tokens, "num_hidden_layers": 12, **text},
        "vision_config": {"model_type": "clip_vision_model", **common, "num_channels": 3, **vision},
    }
    return Release(name, "clip", config)


def _tower(hidden_size: int, intermediate_size: int, num_attention_heads: int) -> dict[str, int]:
    return {
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size,
        "num_attention_heads": num_attention_heads,
    }


def _patches(image_size: int, patch_size: int, num_hidden_layers: int) -> dict[str, int]:
    return {"image_size": image_size, "patch_size": patch_size, "num_hidden_layers": num_hidden_layers}


_KOSMOS2 = Release(
    "microsoft/kosmos-2-patch14-224",
    "kosmos2",
    {
        "model_type": "kosmos-2",
        "latent_query_num": 64,
        "tie_word_embeddings": True,
        "text_config": {
            "model_type": "kosmos_2_text_model",
            "vocab_size": 65037,
            "max_position_embeddings": 2048,
            "embed_dim": 2048,
            "layers": 24,
            "ffn_dim": 8192,
            "attention_heads": 32,
            "activation_function": "gelu",
            "dropout": 0.1,
            "attention_dropout": 0.1,
            "activation_dropout": 0.0,
            "layerdrop": 0.0,
            "layer_norm_eps": 1e-5,
            "init_std": 0.02,
            "scale_embedding": True,
            "use_cache": True,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        "vision_config": {
            "model_type": "kosmos_2_vision_model",
            **_tower(1024, 4096, 16),
            **_patches(224, 14, 24),
            "num_channels": 3,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "initializer_factor": 1.0,
        },
    },
)

_BASE, _LARGE = "openai/clip-vit-base", "openai/clip-vit-large"
_BASE_TEXT, _LARGE_TEXT = _tower(512, 2048, 8), _tower(768, 3072, 12)
_BASE_VISION, _LARGE_VISION = _tower(768, 3072, 12), _tower(1024, 4096, 16)

RELEASES = (
    _KOSMOS2,
    _clip(f"{_BASE}-patch32", 512, _BASE_TEXT, {**_BASE_VISION, **_patches(224, 32, 12)}),
    _clip(f"{_BASE}-patch16", 512, _BASE_TEXT, {**_BASE_VISION, **_patches(224, 16, 12)}),
    _clip(f"{_LARGE}-patch14", 768, _LARGE_TEXT, {**_LARGE_VISION, **_patches(224, 14, 24)}),
    _clip(f"{_LARGE}-patch14-336", 768, _LARGE_TEXT, {**_LARGE_VISION, **_patches(336, 14, 24)}),
)
