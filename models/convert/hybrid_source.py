"""A Simple-CLIP-LSTM checkpoint: its tensors, checked against each other, and every width that they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import CLIPConfig, Kosmos2Config, PretrainedConfig

from ..checkpoint.entry import TensorEntry
from ..checkpoint.reader import read_checkpoint, state_dict
from ..documents import first_of
from ..errors import CheckpointError, ConversionError
from ..inspection.architecture import compare, released
from ..inspection.layers import LSTMSizes, StackLayer, read_lstm, read_stack
from ..inspection.widths import Kind, clip_widths, kosmos2_widths
from ..pretrained import architecture
from .document import read_json

KOSMOS, CLIP, FUSION, LSTM, MLP = "kosmos_model", "clip_model", "feature_fusion", "rnn", "actions.mlp"
_SHOWN = 6
_CONFIGS: dict[Kind, type[PretrainedConfig]] = {"kosmos2": Kosmos2Config, "clip": CLIPConfig}


@dataclass(frozen=True)
class HybridSource:
    """What is in the file.

    Attributes:
        path: of the file.
        bytes: of it.
        entries: its tensors by name, wrappers' prefixes removed.
        kosmos, clip: transformers' configurations of the two models.
        fusion, mlp: layers that have tensors.
        lstm: sizes.
        dropped: tensors that no policy needs, with the reason.
    """

    path: Path
    bytes: int
    entries: Mapping[str, TensorEntry]
    kosmos: dict[str, Any]
    clip: dict[str, Any]
    fusion: tuple[StackLayer, ...]
    lstm: LSTMSizes
    mlp: tuple[StackLayer, ...]
    dropped: dict[str, str]


def read_hybrid(path: Path, kosmos_config: Path | None, clip_config: Path | None) -> HybridSource:
    """Read everything but the tensors' elements.

    Args:
        path: of the checkpoint, in any format that `read_checkpoint` knows.
        kosmos_config: config.json of the Kosmos-2 in it; None: the released one of the same widths.
        clip_config: the same of CLIP.

    Raises:
        CheckpointError: damaged, not of this layout, or it would run code when loaded with pickle.
        ConversionError: the models in it are not those of the configurations.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.calls:
        raise CheckpointError(
            f"{path} would call {first_of(checkpoint.calls, _SHOWN, ', ')} when it is loaded with pickle. Nothing was "
            "called; a file of weights calls nothing, and this one is not converted"
        )
    entries, _ = state_dict(checkpoint)
    missing = [
        name for name in (KOSMOS, CLIP, FUSION, LSTM, MLP) if not any(entry.startswith(f"{name}.") for entry in entries)
    ]
    if missing:
        found = sorted({name.split(".")[0] for name in entries})
        raise CheckpointError(
            f"{path} has no {', '.join(f'{name}.*' for name in missing)}; it has {first_of(found, _SHOWN, ', ')}. "
            "`mobile-vla convert inspect` shows what is in it"
        )
    parts = (f"{KOSMOS}.", f"{CLIP}.", f"{FUSION}.", f"{LSTM}.", f"{MLP}.")
    unknown = [name for name in entries if not name.startswith(parts)]
    if unknown:
        raise CheckpointError(f"{path} has tensors that no policy has a place for: {first_of(unknown, _SHOWN, ', ')}")
    kosmos, kosmos_left = _model(entries, KOSMOS, "kosmos2", kosmos_config, path)
    clip, clip_left = _model(entries, CLIP, "clip", clip_config, path)
    fusion, lstm, mlp = read_stack(entries, FUSION), read_lstm(entries, LSTM), read_stack(entries, MLP)
    for before, width, after, expected in (
        (FUSION, fusion[-1].outputs, LSTM, lstm.input_size),
        (LSTM, lstm.hidden_size, MLP, mlp[0].inputs),
    ):
        if width != expected:
            raise CheckpointError(f"{path}: {before} gives {width}, {after} takes {expected}")
    return HybridSource(
        path=path,
        bytes=checkpoint.bytes,
        entries=entries,
        kosmos=kosmos,
        clip=clip,
        fusion=fusion,
        lstm=lstm,
        mlp=mlp,
        dropped=kosmos_left | clip_left,
    )


def _model(
    entries: Mapping[str, TensorEntry], prefix: str, kind: Kind, config: Path | None, path: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration of a model in the file, and which of its tensors are not needed, with the reason."""
    widths = kosmos2_widths(entries, prefix) if kind == "kosmos2" else clip_widths(entries, prefix)
    option = "--kosmos-config" if kind == "kosmos2" else "--clip-config"
    if config is not None:
        document, name = _configuration(config, kind), str(config)
    else:
        release = released(kind, widths)
        if release is None:
            raise ConversionError(
                f"{path}: {prefix} has the widths of no released {kind}: {_flat(widths)}. Its number of attention "
                f"heads is in no tensor: give its config.json ({option})"
            )
        document, name = release.config, release.name
    found, expected = _flat(widths), _flat(document)
    differences = [
        f"{key} is {value} in the file, {expected.get(key)} in {name}"
        for key, value in found.items()
        if expected.get(key) != value
    ]
    if differences:
        raise ConversionError(
            f"{path}: {prefix} is not {name}: {first_of(differences, _SHOWN)}. A model whose layers were cut away "
            f"computes something else; if this one was trained so, give its own config.json ({option})"
        )
    kept, _ = architecture(_CONFIGS[kind](**document))
    difference = compare(entries, prefix, kind, kept)
    if not difference.fits:
        said = [f"missing {key} {shape}" for key, shape in difference.missing.items()]
        said += [f"unknown {key} {shape}" for key, shape in difference.unknown.items()]
        said += [f"{key} has shape {a}, expected {b}" for key, (a, b) in difference.wrong_shape.items()]
        raise ConversionError(f"{path} does not fit {name}: {first_of(said, _SHOWN)}")
    return kept, difference.left_over


def _configuration(path: Path, kind: Kind) -> dict[str, Any]:
    """A config.json with the defaults of its class written out."""
    document = read_json(path)
    model_type = _CONFIGS[kind].model_type
    if document.get("model_type") != model_type:
        raise ConversionError(f"{path}: model_type is {document.get('model_type')!r}, expected {model_type!r}")
    try:
        filled: dict[str, Any] = _CONFIGS[kind](**document).to_dict()
    except (TypeError, ValueError) as error:
        raise ConversionError(f"{path}: {error}") from error
    return filled


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": found for inner, found in value.items()}
        else:
            flat[key] = value
    return flat
