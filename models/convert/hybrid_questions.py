"""Settings from what was said on the command line; what was not said is asked for, all of it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ..configuration import ImagePreprocessing, Limits, PooledReadout
from ..documents import read_yaml, validate
from ..errors import ConversionError
from ..layers import ACTIVATIONS
from .hybrid_config import source_widths
from .hybrid_fusion import ALTERNATIVES, check_fusion_inputs
from .hybrid_settings import NORMALISATION, HybridSettings
from .hybrid_source import MLP, HybridSource

NONE = "none"
_SOURCES = get_args(PooledReadout.model_fields["source"].annotation)
_POOLINGS = get_args(PooledReadout.model_fields["pooling"].annotation)
_INTERPOLATIONS = get_args(ImagePreprocessing.model_fields["interpolation"].annotation)
_ACTIVATIONS = (NONE, *ACTIVATIONS)


@dataclass(frozen=True)
class Answers:
    """Options as they were given, None where they were not; see `HybridSettings`."""

    fusion_inputs: str | None
    read_out: str | None
    fusion_activation: str | None
    activation: str | None
    final_tanh: bool | None
    actions: str | None
    action_scale: str | None
    dt: float | None
    window: int | None
    normalisation: str | None
    interpolation: str | None
    prompt: str | None
    tokenizer: str | None
    clip_tokenizer: str | None
    kosmos_config: Path | None
    clip_config: Path | None
    limits: Path | None


def settings_of(answers: Answers, source: HybridSource) -> HybridSettings:
    """Settings, if everything was said.

    Raises:
        ConversionError: something was not, or cannot be; every open question is listed, with what would fit.
    """
    questions: list[str] = []
    inputs = tuple(answers.fusion_inputs.split(",")) if answers.fusion_inputs is not None else None
    widths = source_widths(source)
    known = (*widths, *ALTERNATIVES.values())
    unknown = [name for name in inputs or () if name not in known]
    if unknown:
        raise ConversionError(f"--fusion-inputs {','.join(unknown)}: unknown; known: {', '.join(known)}")
    try:
        check_fusion_inputs(inputs, widths, source.fusion[0].inputs)
    except ConversionError as error:
        questions.append(str(error))
    for value, question in (
        (answers.activation, f"--activation of the hidden layers of {MLP}: {', '.join(_ACTIVATIONS)}"),
        (answers.fusion_activation, f"--fusion-activation after feature_fusion: {', '.join(_ACTIVATIONS)}"),
        (answers.final_tanh, "--final-tanh or --no-final-tanh: whether the network's output goes through tanh"),
        (answers.actions, f"--actions, names and units of {MLP}'s outputs, such as linear_x:m/s,angular_z:rad/s"),
        (answers.action_scale, "--action-scale, what an output of 1 means in those units, such as 2.0"),
        (answers.dt, "--dt, seconds between frames"),
        (answers.window, "--window, frames that the LSTM runs over"),
        (
            answers.normalisation,
            f"--normalisation of the pictures: {', '.join(NORMALISATION)}, or r,g,b/r,g,b (mean/std)",
        ),
        (answers.interpolation, f"--interpolation of their resize: {', '.join(_INTERPOLATIONS)}"),
        (answers.prompt, "--prompt of Kosmos-2, such as '<s><image>{front}</image>{instruction}'"),
        (answers.tokenizer, "--tokenizer of Kosmos-2: directory or hub id"),
    ):
        if value is None:
            questions.append(question)
    if inputs is not None and "backbone" in inputs and answers.read_out is None:
        questions.append(
            f"--read-out, what the feature backbone is of Kosmos-2's last states: SOURCE:POOLING, of "
            f"{', '.join(_SOURCES)} and {', '.join(_POOLINGS)}; all:mean is the mean over all tokens"
        )
    if inputs is not None and any(name.startswith("clip_text") for name in inputs) and answers.clip_tokenizer is None:
        questions.append("--clip-tokenizer: directory or hub id")
    if questions:
        raise ConversionError("no tensor shows this, so it has to be said:\n" + "\n".join(f"  {q}" for q in questions))
    said: dict[str, Any] = vars(answers)
    return HybridSettings(
        **{key: said[key] for key in ("final_tanh", "dt", "window", "prompt", "tokenizer", "clip_tokenizer")},
        **{key: said[key] for key in ("kosmos_config", "clip_config")},
        fusion_inputs=inputs,  # type: ignore[arg-type]
        read_out=_read_out(answers.read_out),
        fusion_activation=_activation("--fusion-activation", answers.fusion_activation),
        activation=_activation("--activation", answers.activation),
        actions=_actions(str(answers.actions)),
        action_scale=_numbers("--action-scale", str(answers.action_scale)),
        normalisation=_normalisation(str(answers.normalisation)),
        interpolation=_one_of("--interpolation", str(answers.interpolation), _INTERPOLATIONS),
        limits=_limits(answers.limits),
    )


def _one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConversionError(f"{option} {value!r}: expected one of {', '.join(known)}")
    return value


def _activation(option: str, value: str | None) -> Any:
    name = _one_of(option, str(value), _ACTIVATIONS)
    return None if name == NONE else name


def _read_out(value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    source, _, pooling = value.partition(":")
    return _one_of("--read-out", source, _SOURCES), _one_of("--read-out", pooling, _POOLINGS)


def _actions(value: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in value.split(","):
        name, colon, unit = item.partition(":")
        if not (name and colon and unit):
            raise ConversionError(f"--actions {value!r}: expected NAME:UNIT, separated by commas")
        pairs.append((name, unit))
    return tuple(pairs)


def _numbers(option: str, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in value.split(","))
    except ValueError as error:
        raise ConversionError(f"{option} {value!r}: expected numbers separated by commas") from error


def _normalisation(value: str) -> Any:
    if value in NORMALISATION:
        return NORMALISATION[value]
    parts = [_numbers("--normalisation", part) for part in value.split("/")]
    if [len(part) for part in parts] != [3, 3] or min(parts[1]) <= 0:
        raise ConversionError(
            f"--normalisation {value!r}: expected {', '.join(NORMALISATION)}, or mean/std of red, green, blue, such as "
            "0.5,0.5,0.5/0.5,0.5,0.5"
        )
    return tuple(parts)


def _limits(path: Path | None) -> Limits | None:
    return None if path is None else validate(Limits, read_yaml(path, ConversionError), path, ConversionError)
