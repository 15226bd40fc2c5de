"""The policy that a Simple-CLIP-LSTM checkpoint comes to: its configuration, and where each tensor goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..checkpoint.entry import TensorEntry
from ..configuration import PolicyConfig, PrecisionConfig
from ..documents import findings
from ..errors import ConversionError
from ..inspection.layers import StackLayer
from ..layers import Activation, Layer
from .hybrid_fusion import check_fusion_inputs, feature_widths
from .hybrid_settings import HybridSettings
from .hybrid_source import CLIP, FUSION, KOSMOS, LSTM, MLP, HybridSource


@dataclass(frozen=True)
class _Stack:
    """A Sequential as a configuration lists it.

    Attributes:
        layers: of the configuration.
        places: for each layer with tensors, its index in the file and in `layers`.
    """

    layers: tuple[Layer, ...]
    places: tuple[tuple[int, int], ...]


def hybrid_config(source: HybridSource, settings: HybridSettings, precision: PrecisionConfig) -> PolicyConfig:
    """The configuration of the policy.

    Raises:
        ConversionError: settings and file do not fit; the option is named.
    """
    check_fusion_inputs(settings.fusion_inputs, source_widths(source), source.fusion[0].inputs)
    outputs, names = source.mlp[-1].outputs, [name for name, _ in settings.actions]
    if not names or outputs % len(names):
        raise ConversionError(f"{MLP} gives {outputs} numbers, no multiple of the {len(names)} --actions {names}")
    scales = settings.action_scale if len(settings.action_scale) > 1 else settings.action_scale * len(names)
    if len(scales) != len(names) or any(scale <= 0 for scale in scales):
        raise ConversionError(
            f"--action-scale {settings.action_scale}: expected one above 0, or one for each of {names}"
        )
    document: dict[str, Any] = {
        "schema_version": 3,
        "dt": settings.dt,
        "window": settings.window,
        "chunk": outputs // len(names),
        "action": {
            "continuous": [
                {"name": name, "unit": unit, "minimum": -scale, "maximum": scale}
                for (name, unit), scale in zip(settings.actions, scales, strict=True)
            ],
            "binary": (),
            "limits": settings.limits.model_dump() if settings.limits is not None else None,
        },
        "cameras": ("front",),
        "image": {
            "size": source.kosmos["vision_config"]["image_size"],
            "mean": settings.normalisation[0],
            "std": settings.normalisation[1],
            "interpolation": settings.interpolation,
        },
        "state": (),
        "prompt": settings.prompt,
        "history": "post",
        "backbone": {"type": "kosmos2", "config": source.kosmos, "language_head": False},
        "resampler": None,
        "readout": _read_out(settings),
        "clip": {"config": source.clip, "prompts": ()} if _uses_clip(settings) else None,
        "fusion": {
            "type": "concat",
            "features": settings.fusion_inputs,
            "layers": _fusion(source, settings).layers,
        },
        "head": {
            "type": "lstm",
            "hidden_size": source.lstm.hidden_size,
            "num_layers": source.lstm.num_layers,
            "dropout": 0.0,
            "mlp": _head(source, settings).layers[:-1],
            "squash": "tanh" if settings.final_tanh else "none",
        },
        "precision": precision.model_dump(),
    }
    try:
        return PolicyConfig.model_validate(document)
    except ValidationError as error:
        raise ConversionError(f"what is said makes no policy: {findings(error)}") from error


def source_widths(source: HybridSource) -> dict[str, int]:
    """Width of every feature that the two models can give."""
    return feature_widths(
        {"text": source.kosmos["text_config"]["embed_dim"], "vision": source.kosmos["vision_config"]["hidden_size"]},
        {
            "text": source.clip["text_config"]["hidden_size"],
            "vision": source.clip["vision_config"]["hidden_size"],
            "projection": source.clip["projection_dim"],
        },
    )


def hybrid_tensors(source: HybridSource, settings: HybridSettings) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    """Every tensor of the file under its name in the policy, and those not needed, with the reason."""
    stacks = {
        FUSION: ("fusion.layers", _fusion(source, settings)),
        MLP: ("head.continuous.mlp", _head(source, settings)),
    }
    names: dict[str, str] = {}
    dropped = dict(source.dropped)
    for name in source.entries:
        if name in dropped:
            continue
        part = next(part for part in (KOSMOS, CLIP, FUSION, LSTM, MLP) if name.startswith(f"{part}."))
        rest = name.removeprefix(f"{part}.")
        if part == KOSMOS:
            names[name] = f"backbone.model.{rest}"
        elif part == LSTM:
            names[name] = f"head.rnn.{rest}"
        elif part == CLIP:
            reason = _unneeded(rest, settings)
            if reason is None:
                names[name] = f"clip.clip.{rest}"
            else:
                dropped[name] = reason
        else:
            prefix, stack = stacks[part]
            index, _, key = rest.rpartition(".")
            names[name] = f"{prefix}.{dict(stack.places)[int(index or 0)]}.{key}"
    return {ours: source.entries[theirs] for theirs, ours in names.items()}, dropped


def _uses_clip(settings: HybridSettings) -> bool:
    return any(name.startswith("clip") for name in settings.fusion_inputs)


def _unneeded(name: str, settings: HybridSettings) -> str | None:
    """Why a tensor of CLIP is not needed; None if it is."""
    if name == "logit_scale":
        return "CLIP's temperature, of its training"
    tower = "clip_text" if name.startswith("text") else "clip_image"
    if any(feature.startswith(tower) for feature in settings.fusion_inputs):
        return None
    return f"no --fusion-inputs of {'CLIP' if not _uses_clip(settings) else tower}"


def _read_out(settings: HybridSettings) -> dict[str, Any]:
    if settings.read_out is None:
        if "backbone" in settings.fusion_inputs:
            raise ConversionError("--fusion-inputs has backbone: say what is read of its states (--read-out)")
        # Of a read-out that nothing is fed with.
        return {"type": "pooled", "source": "all", "pooling": "last", "tokens": 1}
    source, pooling = settings.read_out
    return {"type": "pooled", "source": source, "pooling": pooling, "tokens": 1}


def _fusion(source: HybridSource, settings: HybridSettings) -> _Stack:
    stack = _stack(source.fusion, settings.fusion_activation, FUSION)
    if settings.fusion_activation is None or settings.fusion_activation in stack.layers:
        return stack
    return _Stack((*stack.layers, settings.fusion_activation), stack.places)


def _head(source: HybridSource, settings: HybridSettings) -> _Stack:
    if source.mlp[-1].kind != "linear":
        raise ConversionError(f"{MLP}.{source.mlp[-1].index} is the last layer and a LayerNorm, expected a Linear")
    return _stack(source.mlp, settings.activation, MLP)


def _stack(layers: Sequence[StackLayer], activation: Activation | None, name: str) -> _Stack:
    """A gap in the indices is an activation, and dropout beside it; one a hidden layer."""
    made: list[Layer] = []
    places: list[tuple[int, int]] = []
    previous, active = None, False
    for layer in layers:
        if previous is not None and layer.index > previous + 1:
            if active:
                raise ConversionError(
                    f"{name} has gaps on both sides of {name}.{previous}: which is the activation, no tensor shows; "
                    "supported: gaps in one place between two linear layers"
                )
            active = True
            if activation is not None:
                made.append(activation)
        if not layer.bias:
            raise ConversionError(f"{name}.{layer.index} has no bias, supported: layers with one")
        if layer.kind == "linear":
            active = False
        places.append((layer.index, len(made)))
        made.append(layer.outputs if layer.kind == "linear" else "layer_norm")
        previous = layer.index
    return _Stack(tuple(made), tuple(places))
