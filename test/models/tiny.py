"""A policy of the real architecture, small enough to build in a test."""

from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.instruction import InstructionEncoder
from mobile_vla_models.modeling import initialise
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.policy_directory import PolicyParts
from mobile_vla_models.text import train_tokenizer

SENTENCES = ["go to the red box", "drive to the blue ball", "turn left", "stop", "any object", "the wall"]


def tiny_document() -> dict[str, object]:
    """PolicyConfig as a plain document, to be changed by tests."""
    tokens = {"vocab_size": 300, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3}
    tower = {
        "image_size": 16,
        "patch_size": 4,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
    }
    dropout = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    return {
        "schema_version": 3,
        "dt": 0.2,
        "window": 4,
        "chunk": 3,
        "action": {
            "continuous": [
                {"name": "linear_x", "unit": "m/s", "minimum": -0.6, "maximum": 0.6},
                {"name": "angular_z", "unit": "rad/s", "minimum": -1.2, "maximum": 1.2},
            ],
            "binary": ["stop"],
            "limits": {
                "linear_x_min": 0.0,
                "linear_x_max": 0.5,
                "angular_z_max": 1.0,
                "linear_acceleration": 1.0,
                "angular_acceleration": 3.0,
                "linear_jerk": 10.0,
                "angular_jerk": 30.0,
            },
        },
        "cameras": ["front"],
        "image": {"size": 16, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "area"},
        "state": [],
        "prompt": "<s>{front}{instruction}</s>{action}",
        "history": "post",
        "backbone": {
            "type": "kosmos2",
            "language_head": False,
            "config": {
                "model_type": "kosmos-2",
                "latent_query_num": 3,
                "vision_config": {**tower, "num_attention_heads": 2},
                "text_config": {
                    **tokens,
                    **dropout,
                    "max_position_embeddings": 64,
                    "embed_dim": 16,
                    "layers": 1,
                    "ffn_dim": 16,
                    "attention_heads": 2,
                },
            },
        },
        "resampler": None,
        "readout": {"type": "action_token", "tokens": 1},
        "clip": {
            "prompts": ["{instruction}", "any object", "the wall"],
            "config": {
                "projection_dim": 8,
                "vision_config": {**tower, "num_attention_heads": 2, "projection_dim": 8},
                "text_config": {
                    **tokens,
                    "max_position_embeddings": 32,
                    "hidden_size": 16,
                    "intermediate_size": 16,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 2,
                    "projection_dim": 8,
                },
            },
        },
        "fusion": {
            "type": "sum",
            "features": ["backbone", "clip_image", "clip_text", "clip_similarity"],
            "hidden_size": 16,
            "dropout": 0.1,
        },
        "head": {
            "type": "lstm",
            "hidden_size": 16,
            "num_layers": 1,
            "dropout": 0.0,
            "mlp": [16, "relu"],
            "squash": "tanh",
        },
        "precision": {"vision": "fp32", "text": "fp32", "clip": "fp32", "head": "fp32"},
    }


def tiny_policy(seed: int = 0) -> VLAPolicy:
    config = PolicyConfig.model_validate(tiny_document())
    tokenizer = train_tokenizer(SENTENCES, vocab_size=300, max_length=32)
    return VLAPolicy(PolicyParts(config, initialise(config, seed), InstructionEncoder(config, tokenizer, tokenizer)))
