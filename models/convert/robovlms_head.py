"""From RoboVLMs' `act_head` to a policy's history, read-out and head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .document import Section

# Continuous dimensions; `action_dim` counts the gripper too.
ARM = ("x", "y", "z", "roll", "pitch", "yaw")
# Sizes that RoboVLMs builds whatever its configuration says.
MLP = (1024, "relu", 512, "relu", 256, "relu")
GPT = {"num_layers": 8, "num_heads": 8, "dropout": 0.1}

_HEADS = ("LSTMDecoder", "GPTDecoder", "FCDecoder", "DiscreteDecoder")


@dataclass(frozen=True)
class HeadTranslation:
    """What an action head comes to.

    Attributes:
        history, readout: of the policy's configuration.
        head: the same; for a head that speaks without `end`, which the tokenizer decides.
        notes: differences that are meant.
    """

    history: str
    readout: dict[str, Any] | None
    head: dict[str, Any]
    notes: tuple[str, ...] = ()


def translate_head(head: Section, width: int) -> HeadTranslation:
    """Make a head's configuration.

    Args:
        head: `act_head`.
        width: of the backbone's decoder.

    Raises:
        ConversionError: names the key, its value and what is supported.
    """
    kind, space = head.require("type", str), head.get("action_space", "continuous")
    if kind not in _HEADS:
        head.expect("type", kind, " | ".join(_HEADS))
    if space not in ("continuous", "down_sample", "discrete"):
        head.expect("action_space", space, "continuous | down_sample | discrete")
    if (space == "discrete") != (kind == "DiscreteDecoder"):
        fitting = "DiscreteDecoder" if space == "discrete" else " | ".join(_HEADS[:-1])
        head.expect("type", kind, fitting, f"with action_space {space!r}")
    head.expect("action_dim", head.require("action_dim", int), len(ARM) + 1, "its losses are written for that")
    return _discrete(head) if space == "discrete" else _continuous(head, kind, space, width)


def _continuous(head: Section, kind: str, space: str, width: int) -> HeadTranslation:
    latent = head.require("latent", int)
    pools = head.require("down_sample", str)
    if pools not in ("none", "pooling"):
        head.expect("down_sample", pools, "none | pooling")
    history = head.get("history_type", "post")
    if history not in ("post", "pre", "video"):
        head.expect("history_type", history, "post | pre | video")
    if history == "video" and kind != "FCDecoder":
        head.expect("history_type", history, "post | pre", f"RoboVLMs cannot run 'video' with {kind}")
    # RoboVLMs reads each of these with one of the two action spaces only.
    source, fill_zero = head.get("token_source", "all"), bool(head.value("fill_zero"))
    if space == "continuous":
        head.expect("fill_zero", fill_zero, False, "action tokens that no token may look at cannot be said here")
        readout: dict[str, Any] = {"type": "action_token", "tokens": latent}
    else:
        head.expect("down_sample", pools, "pooling", "with action_space 'down_sample'")
        if source not in ("text", "vision", "all"):
            head.expect("token_source", source, "text | vision | all")
        readout = {"type": "pooled", "source": source, "pooling": "max", "tokens": latent}
    notes: tuple[str, ...] = ()
    if history == "pre":
        notes = ("of a window the newest frame's actions are given; RoboVLMs' evaluation executes the oldest frame's",)
    return HeadTranslation(history, readout, _sizes(head, kind, latent, width), notes)


def _sizes(head: Section, kind: str, latent: int, width: int) -> dict[str, Any]:
    """Sizes of a head with layers; RoboVLMs multiplies its hidden size by the number of tokens that it reads."""
    if kind == "FCDecoder":
        hidden = head.require("hidden_size", int)
        return {"type": "fc", "hidden_size": hidden * latent, "mlp": MLP, "squash": "tanh"}
    hidden = head.get("hidden_size", 1024)
    if kind == "GPTDecoder":
        if latent != 1 and hidden != width:
            head.expect("latent", latent, 1, "with a GPT of another width than the backbone's, in RoboVLMs too")
        return {"type": "gpt", "hidden_size": hidden * latent, "mlp": MLP, "squash": "tanh", **GPT}
    layers, dropout = head.get("num_layers", 4), head.get("policy_rnn_dropout_p", 0.0)
    return {
        "type": "lstm",
        "hidden_size": hidden * latent,
        "num_layers": layers,
        "dropout": dropout,
        "mlp": MLP,
        "squash": "tanh",
    }


def _discrete(head: Section) -> HeadTranslation:
    bins = head.require("n_bin", int)
    for key, bound in (("min_action", -1.0), ("max_action", 1.0)):
        head.expect(key, head.require(key, float), bound)
    for key in ("down_sample", "fill_zero", "hidden_size", "history_type", "latent", "token_source"):
        head.value(key)  # without effect on this head
    notes = (
        "discrete actions are decoded among action ids only; RoboVLMs decodes among all of the vocabulary, and takes "
        "what is no action for the nearest one",
        "a window's prompts and actions lie in one sequence, as RoboVLMs trains them whatever history_type says; its "
        "evaluation shows one frame, or all of them before one prompt, and says one of the chunk's actions",
    )
    return HeadTranslation("pre", None, {"type": "discrete", "bins": bins}, notes)
