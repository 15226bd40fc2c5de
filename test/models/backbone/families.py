"""A tiny configuration of each family of vision-language models, for tests that run over all of them.

`FURTHER` are families that the generic backbone drives like one of `FAMILIES`, for the native tests alone.

`FAMILIES[name]` holds: `backbone` and `config`, as a policy's configuration spells them; `image_size`, a side of
pictures that the model takes; `prompt`, a template with the places `{front}`, `{instruction}` and `{action}`.
Special tokens are those of the tests' tokenizer: padding 0, <s> 1, </s> 3; the placeholder of a picture lies beyond.
"""

from __future__ import annotations

from typing import Any

IMAGE_TOKEN_ID = 310
_TOKENS = {"vocab_size": 320, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3}
_TEXT = {
    **_TOKENS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
_GEMMA = {**_TEXT, "head_dim": 8}
_WITHOUT_GROUPS = {
    key: value for key, value in _TEXT.items() if key not in ("num_key_value_heads", "max_position_embeddings")
}
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}


def _tower(model_type: str, image_size: int, patch_size: int = 14, **more: Any) -> dict[str, Any]:
    return {"model_type": model_type, **_untyped_tower(image_size, patch_size), **more}


def _untyped_tower(image_size: int, patch_size: int = 14) -> dict[str, Any]:
    return {
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": image_size,
        "patch_size": patch_size,
    }


def _text(model_type: str, **more: Any) -> dict[str, Any]:
    return {"model_type": model_type, **_TEXT, **more}


def _family(
    backbone: str,
    image_size: int,
    model_type: str,
    text: dict[str, Any],
    vision: dict[str, Any],
    prompt: str = "<s>{front}{instruction}{action}</s>",
    **more: Any,
) -> dict[str, Any]:
    config = {"model_type": model_type, "text_config": text, "vision_config": vision, **more}
    return {"backbone": backbone, "config": config, "image_size": image_size, "prompt": prompt}


_CLIP_LAYER = {"vision_feature_layer": -2, "vision_feature_select_strategy": "default"}
_SIGLIP_LAYER = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
_IMAGE = {"image_token_id": IMAGE_TOKEN_ID}
_PINPOINTS = {"image_grid_pinpoints": [[28, 56], [56, 28], [56, 56]]}

FAMILIES: dict[str, dict[str, Any]] = {
    "kosmos2": _family(
        "kosmos2",
        28,
        "kosmos-2",
        {
            **_TOKENS,
            "max_position_embeddings": 256,
            "embed_dim": 32,
            "layers": 2,
            "ffn_dim": 48,
            "attention_heads": 4,
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "activation_dropout": 0.0,
        },
        _untyped_tower(28),
        "<s>{front}<grounding>{instruction}{action}</s>",
        latent_query_num=5,
    ),
    "paligemma": _family(
        "paligemma",
        28,
        "paligemma",
        {"model_type": "gemma", **_GEMMA},
        _tower("siglip_vision_model", 28),
        "{front}<s>{instruction}\n{action}</s>",
        projection_dim=32,
        **_IMAGE,
    ),
    "paligemma2": _family(
        "paligemma",
        28,
        "paligemma",
        {
            "model_type": "gemma2",
            **_GEMMA,
            "sliding_window": 18,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
            "final_logit_softcapping": None,
        },
        _tower("siglip_vision_model", 28),
        "{front}<s>{instruction}\n{action}</s>",
        projection_dim=32,
        **_IMAGE,
    ),
    "llava": _family("llava", 28, "llava", _text("llama"), _tower("clip_vision_model", 28), **_CLIP_LAYER, **_IMAGE),
    "idefics": {
        "backbone": "idefics",
        "config": {
            "model_type": "idefics",
            **{
                key: value
                for key, value in _TEXT.items()
                if key not in ("num_key_value_heads", "max_position_embeddings")
            },
            "additional_vocab_size": 2,
            "cross_layer_interval": 1,
            "qk_layer_norms": True,
            "alpha_initializer": "ones",
            "dropout": 0.0,
            "use_resampler": True,
            "vision_config": {
                "embed_dim": 24,
                "image_size": 28,
                "patch_size": 14,
                "intermediate_size": 40,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
            },
            "perceiver_config": {
                "resampler_n_latents": 3,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "resampler_head_dim": 8,
                "qk_layer_norms_perceiver": True,
            },
        },
        "image_size": 28,
        "prompt": "<s>{front}{instruction}{action}</s>",
    },
    "smolvlm": _family(
        "generic",
        32,
        "smolvlm",
        _text("llama"),
        _untyped_tower(32, 4),
        scale_factor=4,
        **_IMAGE,
    ),
    "idefics2": _family(
        "generic",
        28,
        "idefics2",
        _text("mistral", sliding_window=None),
        _untyped_tower(28),
        perceiver_config={
            "resampler_n_latents": 3,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "num_key_value_heads": 1,
            "resampler_head_dim": 8,
            "hidden_size": 32,
        },
        **_IMAGE,
    ),
    "idefics3": _family(
        "generic",
        32,
        "idefics3",
        _text("llama"),
        _untyped_tower(32, 8),
        scale_factor=2,
        **_IMAGE,
    ),
    "qwen2_vl": _family(
        "generic",
        56,
        "qwen2_vl",
        {**_TEXT, "rope_parameters": _MROPE},
        {"depth": 2, "embed_dim": 24, "hidden_size": 32, "num_heads": 3, "mlp_ratio": 2, "patch_size": 14},
        **_IMAGE,
    ),
    "qwen2_5_vl": _family(
        "generic",
        56,
        "qwen2_5_vl",
        {**_TEXT, "rope_parameters": _MROPE},
        {
            "depth": 2,
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_heads": 3,
            "out_hidden_size": 32,
            "patch_size": 14,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        **_IMAGE,
    ),
    "qwen3_vl": _family(
        "generic",
        64,
        "qwen3_vl",
        {**_TEXT, "num_hidden_layers": 3, "head_dim": 8, "rope_parameters": _MROPE},
        {
            "depth": 3,
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_heads": 3,
            "out_hidden_size": 32,
            "patch_size": 16,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0, 1],
        },
        **_IMAGE,
    ),
    "gemma3": _family(
        "generic",
        56,
        "gemma3",
        {
            **_GEMMA,
            "sliding_window": 10,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
        },
        _tower("siglip_vision_model", 56),
        mm_tokens_per_image=4,
        **_IMAGE,
    ),
    "internvl": _family(
        "generic",
        56,
        "internvl",
        _text("qwen2"),
        {**_tower("internvl_vision", 56), "image_size": [56, 56], "patch_size": [14, 14]},
        **_IMAGE,
    ),
    "llava_next": _family(
        "generic",
        28,
        "llava_next",
        _text("llama"),
        _tower("clip_vision_model", 28),
        **_CLIP_LAYER,
        **_PINPOINTS,
        **_IMAGE,
    ),
    "llava_onevision": _family(
        "generic",
        28,
        "llava_onevision",
        _text("qwen2"),
        _tower("siglip_vision_model", 28),
        **_SIGLIP_LAYER,
        **_PINPOINTS,
        **_IMAGE,
    ),
    "mistral3": _family(
        "generic",
        56,
        "mistral3",
        _text("mistral", sliding_window=None),
        _tower("pixtral", 56, hidden_size=32),
        spatial_merge_size=2,
        **_IMAGE,
    ),
    "pixtral": _family(
        "generic",
        28,
        "llava",
        _text("mistral", sliding_window=None),
        _tower("pixtral", 28, hidden_size=32),
        **_SIGLIP_LAYER,
        **_IMAGE,
    ),
    "aya_vision": _family(
        "generic",
        56,
        "aya_vision",
        _text("cohere2", sliding_window=16, layer_types=["sliding_attention", "full_attention"]),
        _tower("siglip_vision_model", 56),
        downsample_factor=2,
        adapter_layer_norm_eps=1e-6,
        **_SIGLIP_LAYER,
        **_IMAGE,
    ),
}

FURTHER: dict[str, dict[str, Any]] = {
    "vipllava": _family(
        "generic",
        28,
        "vipllava",
        _text("llama"),
        _tower("clip_vision_model", 28),
        vision_feature_layers=[-1, -2],
        **_IMAGE,
    ),
    "cohere2_vision": _family(
        "generic",
        56,
        "cohere2_vision",
        _text("cohere2", sliding_window=16, layer_types=["sliding_attention", "full_attention"]),
        _tower("siglip_vision_model", 56),
        downsample_factor=2,
        alignment_intermediate_size=32,
        **_IMAGE,
    ),
    "got_ocr2": _family(
        "generic",
        64,
        "got_ocr2",
        _text("qwen2"),
        {
            "hidden_size": 24,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 64,
            "patch_size": 16,
            "global_attn_indexes": [1],
            "window_size": 2,
            "mlp_dim": 40,
        },
        **_IMAGE,
    ),
    "lighton_ocr": _family(
        "generic", 56, "lighton_ocr", _text("qwen3", head_dim=8), _tower("pixtral", 56, hidden_size=32), **_IMAGE
    ),
    "janus": _family(
        "generic",
        28,
        "janus",
        _text("llama"),
        {
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 28,
            "patch_size": 14,
            "projection_dim": 32,
            "mlp_ratio": 2.0,
        },
        vq_config={
            "embed_dim": 8,
            "num_embeddings": 16,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
            "latent_channels": 8,
            "projection_dim": 32,
            "num_patches": 4,
        },
        **_IMAGE,
    ),
    "glm4v": _family(
        "generic",
        56,
        "glm4v",
        {**_TEXT, "rope_parameters": _MROPE},
        {
            "depth": 2,
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_heads": 3,
            "out_hidden_size": 32,
            "patch_size": 14,
            "image_size": 56,
        },
        **_IMAGE,
    ),
    "qwen3_vl_moe": _family(
        "generic",
        64,
        "qwen3_vl_moe",
        {
            **_TEXT,
            "head_dim": 8,
            "rope_parameters": _MROPE,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
        },
        FAMILIES["qwen3_vl"]["config"]["vision_config"],
        **_IMAGE,
    ),
}
