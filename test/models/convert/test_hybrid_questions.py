"""What no tensor shows is asked for, all of it at once, and what is said is checked before anything is converted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hybrids import Hybrids, layout

from mobile_vla_models.convert.hybrid import hybrid_source
from mobile_vla_models.convert.hybrid_config import source_widths
from mobile_vla_models.convert.hybrid_fusion import feature_widths, recipes
from mobile_vla_models.convert.hybrid_questions import Answers, settings_of
from mobile_vla_models.convert.hybrid_settings import NORMALISATION, HybridSettings
from mobile_vla_models.convert.hybrid_source import HybridSource, read_hybrid
from mobile_vla_models.errors import ConversionError

FULL = feature_widths({"text": 2048, "vision": 1024}, {"text": 512, "vision": 768, "projection": 512})
LIMITS = {
    "linear_x_min": 0.0,
    "linear_x_max": 0.5,
    "angular_z_max": 1.0,
    "linear_acceleration": 1.0,
    "angular_acceleration": 3.0,
    "linear_jerk": 10.0,
    "angular_jerk": 30.0,
}
Open = Callable[..., HybridSource]


@pytest.fixture(scope="session")
def hybrids(tmp_path_factory: pytest.TempPathFactory) -> Hybrids:
    return Hybrids(tmp_path_factory.mktemp("hybrids"))


@pytest.fixture(scope="session")
def opened(hybrids: Hybrids) -> Open:
    found: dict[str, HybridSource] = {}

    def get(**widths: Any) -> HybridSource:
        key = str(widths)
        if key not in found:
            found[key] = read_hybrid(hybrids.checkpoint(layout(**widths)), hybrids.kosmos_config, hybrids.clip_config)
        return found[key]

    return get


@pytest.fixture
def answers(hybrids: Hybrids) -> Answers:
    return Answers(
        fusion_inputs="backbone,clip_image",
        read_out="all:mean",
        fusion_activation="none",
        activation="relu",
        final_tanh=True,
        actions="linear_x:m/s,angular_z:rad/s",
        action_scale="2.0",
        dt=0.4,
        window=3,
        normalisation="imagenet",
        interpolation="bilinear",
        prompt="<s>{front}{instruction}</s>",
        tokenizer=str(hybrids.folder / "tokenizer"),
        clip_tokenizer=None,
        kosmos_config=hybrids.kosmos_config,
        clip_config=hybrids.clip_config,
        limits=None,
    )


def nothing(answers: Answers) -> Answers:
    return Answers(**dict.fromkeys(vars(answers)))


def test_everything_that_is_open_is_asked_at_once(opened: Open, answers: Answers) -> None:
    with pytest.raises(ConversionError) as caught:
        settings_of(nothing(answers), opened())
    message = str(caught.value)
    for option in (
        "--fusion-inputs",
        "--fusion-activation",
        "--activation",
        "--final-tanh or --no-final-tanh",
        "--actions",
        "--action-scale",
        "--dt",
        "--window",
        "--normalisation",
        "--interpolation",
        "--prompt",
        "--tokenizer",
    ):
        assert message.count(f"  {option}") == 1 or option in message.splitlines()[1], option
    assert "feature_fusion takes 160 inputs" in message
    assert "backbone 128" in message
    assert "--read-out" not in message


@pytest.mark.parametrize(
    "name",
    [
        "fusion_activation",
        "activation",
        "final_tanh",
        "actions",
        "action_scale",
        "dt",
        "window",
        "normalisation",
        "interpolation",
        "prompt",
        "tokenizer",
        "read_out",
    ],
)
def test_nothing_has_a_default(opened: Open, answers: Answers, name: str) -> None:
    with pytest.raises(ConversionError) as caught:
        settings_of(replace(answers, **{name: None}), opened())
    questions = str(caught.value).splitlines()[1:]
    assert len(questions) == 1
    assert questions[0].strip().startswith(f"--{name.replace('_', '-')}")


def test_words_of_clip_ask_for_its_tokenizer(opened: Open, answers: Answers) -> None:
    with pytest.raises(ConversionError) as caught:
        settings_of(replace(answers, fusion_inputs="backbone,clip_text"), opened())
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == ["--clip-tokenizer: directory or hub id"]


@pytest.mark.parametrize("width", [160, 272, 304])
def test_the_recipes_that_fit_are_listed(opened: Open, answers: Answers, width: int) -> None:
    source = opened(width=width)
    with pytest.raises(ConversionError) as caught:
        settings_of(nothing(answers), source)
    message = str(caught.value)
    widths = source_widths(source)
    fitting = recipes(widths, width)
    assert fitting
    assert all(sum(widths[name] for name in recipe) == width for recipe in fitting)
    listed = message.split("Of these widths: ")[1].split(". Widths:")[0].split(" | ")
    assert listed[:12] == [",".join(recipe) for recipe in fitting[:12]]
    assert len(fitting) <= 12 or listed[12] == f"and {len(fitting) - 12} more"


def test_recipes_of_the_full_size() -> None:
    """All of them, counted by hand for the widths in question."""
    assert recipes(FULL, 2560) == [
        ("backbone", "clip_image"),
        ("backbone", "clip_text_pooled"),
        ("backbone", "clip_text"),
        ("backbone_image", "clip_image"),
        ("backbone_image", "clip_text_pooled"),
        ("backbone_image", "clip_text"),
        ("backbone_vision", "clip_image", "clip_text_pooled", "clip_text"),
    ]
    assert recipes(FULL, 4864)[0] == ("backbone", "backbone_image", "clip_image_pooled")
    assert recipes(FULL, 4097) == []


def test_a_sum_of_no_features_says_so(opened: Open, answers: Answers) -> None:
    with pytest.raises(ConversionError, match=r"takes 161 inputs.*Of these widths: none"):
        settings_of(nothing(answers), replace_fusion(opened(), 161))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"fusion_inputs": "backbone"}, r"come to 128 \(backbone 128\), feature_fusion takes 160.*backbone,clip_image"),
        (
            {"fusion_inputs": "backbone,clip_image_pooled"},
            r"come to 176 \(backbone 128 \+ clip_image_pooled 48\), feature_fusion takes 160",
        ),
        ({"fusion_inputs": "backbone,clip_pictures"}, "--fusion-inputs clip_pictures: unknown; known: backbone, "),
        ({"fusion_inputs": "backbone,"}, "--fusion-inputs : unknown; known"),
        ({"fusion_inputs": "backbone,clip_similarity"}, "clip_similarity"),
        ({"read_out": "all:median"}, "--read-out 'median': expected one of max, mean, first, last"),
        ({"read_out": "words:mean"}, "--read-out 'words': expected one of text, vision, all"),
        ({"read_out": "all"}, "--read-out '': expected one of max"),
        ({"activation": "swish"}, "--activation 'swish': expected one of none, relu, gelu"),
        ({"fusion_activation": "ReLU"}, "--fusion-activation 'ReLU': expected one of none, relu"),
        ({"actions": "linear_x,angular_z"}, "--actions 'linear_x,angular_z': expected NAME:UNIT"),
        ({"actions": "linear_x:m/s,"}, "expected NAME:UNIT"),
        ({"actions": ""}, "expected NAME:UNIT"),
        ({"action_scale": "2.0 m/s"}, "--action-scale '2.0 m/s': expected numbers separated by commas"),
        ({"normalisation": "siglip"}, "--normalisation 'siglip'"),
        ({"normalisation": "0.5,0.5/0.5,0.5"}, "expected clip, imagenet, or mean/std of red, green, blue"),
        ({"normalisation": "0.5,0.5,0.5/0.5,0,0.5"}, "expected clip, imagenet, or mean/std of red, green, blue"),
        ({"interpolation": "nearest"}, "--interpolation 'nearest': expected one of area, bicubic, bilinear"),
    ],
)
def test_what_is_said_wrongly_is_named(opened: Open, answers: Answers, said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        settings_of(replace(answers, **said), opened())


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"actions": "linear_x:m/s,linear_y:m/s,angular_z:rad/s"},
            r"gives 2 numbers, no multiple of the 3 --actions \['linear_x', 'linear_y', 'angular_z'\]",
        ),
        ({"actions": "linear_x:m/s,linear_x:m/s"}, "action names must be unique"),
        ({"action_scale": "1.0,2.0,3.0"}, "--action-scale .*expected one above 0, or one for each of"),
        ({"action_scale": "1.0,-2.0"}, "--action-scale .*expected one above 0"),
        ({"action_scale": "nan"}, "finite number"),
        ({"action_scale": "inf"}, "finite number"),
        ({"dt": 0.0}, "dt: "),
        ({"dt": float("nan")}, "dt: "),
        ({"window": 0}, "window: "),
        ({"normalisation": "nan,0.5,0.5/0.5,0.5,0.5"}, "image.mean"),
        ({"fusion_inputs": "clip_image,clip_image,clip_image,clip_image,clip_image"}, "listed twice"),
        ({"prompt": "<s>{front}</s>"}, "instruction"),
        ({"prompt": "<s>{instruction}</s>"}, "front"),
        ({"prompt": "<s>{front}{instruction}{action}</s>"}, "action"),
        ({"prompt": "<s><image>{front}</image>{instruction}</s>"}, "'<image>' is no token of the tokenizer"),
        ({"tokenizer": "/no/such/tokenizer"}, "/no/such/tokenizer: not a readable tokenizer"),
    ],
)
def test_what_does_not_fit_is_named(opened: Open, answers: Answers, said: dict[str, Any], message: str) -> None:
    source = opened()
    with pytest.raises(ConversionError, match=message):
        hybrid_source(source, settings_of(replace(answers, **said), source))


def test_a_tokenizer_of_clip_that_is_not_there_is_named(opened: Open, answers: Answers) -> None:
    source = opened()
    said = replace(answers, fusion_inputs="backbone,clip_text", clip_tokenizer="/no/such/clip")
    with pytest.raises(ConversionError, match="/no/such/clip: not a readable tokenizer"):
        hybrid_source(source, settings_of(said, source))


def test_settings_are_what_was_said(opened: Open, answers: Answers, tmp_path: Path) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text(yaml.safe_dump(LIMITS))
    said = replace(
        answers,
        fusion_activation="gelu",
        activation="none",
        final_tanh=False,
        action_scale="0.5,2",
        normalisation="0.1,0.2,0.3/0.4,0.5,0.6",
        limits=limits,
    )
    settings = settings_of(said, opened())
    assert settings.fusion_inputs == ("backbone", "clip_image")
    assert settings.read_out == ("all", "mean")
    assert settings.fusion_activation == "gelu"
    assert settings.activation is None
    assert settings.final_tanh is False
    assert settings.actions == (("linear_x", "m/s"), ("angular_z", "rad/s"))
    assert settings.action_scale == (0.5, 2.0)
    assert settings.normalisation == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert settings.limits is not None
    assert settings.limits.model_dump() == LIMITS
    config = hybrid_source(opened(), settings).config
    assert config.head.type == "lstm"
    assert config.head.squash == "none"
    assert config.head.mlp == (32, "layer_norm", 32, "layer_norm")
    assert config.fusion is not None
    assert config.fusion.type == "concat"
    assert config.fusion.layers == (128, "gelu")
    assert config.image.mean == (0.1, 0.2, 0.3)
    assert (config.dt, config.window, config.history) == (0.4, 3, "post")
    assert [action.maximum for action in config.action.continuous] == [0.5, 2.0]


@pytest.mark.parametrize("name", NORMALISATION)
def test_a_normalisation_goes_by_the_name_of_its_models(opened: Open, answers: Answers, name: str) -> None:
    assert settings_of(replace(answers, normalisation=name), opened()).normalisation == NORMALISATION[name]


@pytest.mark.parametrize(
    ("content", "message"),
    [({**LIMITS, "linear_x_max": -1.0}, "linear_x_max"), ({"top_speed": 1.0}, "top_speed"), (None, "limits.yaml")],
)
def test_limits_that_are_none_are_refused(
    opened: Open, answers: Answers, tmp_path: Path, content: Any, message: str
) -> None:
    limits = tmp_path / "limits.yaml"
    if content is not None:
        limits.write_text(yaml.safe_dump(content))
    with pytest.raises(ConversionError, match=message):
        settings_of(replace(answers, limits=limits), opened())


def test_the_feature_backbone_wants_a_read_out(hybrids: Hybrids, opened: Open) -> None:
    """Also where settings are made without questions."""
    settings: HybridSettings = replace(hybrids.settings(), read_out=None)
    with pytest.raises(ConversionError, match="--read-out"):
        hybrid_source(opened(), settings)


def replace_fusion(source: HybridSource, width: int) -> HybridSource:
    return replace(source, fusion=(replace(source.fusion[0], inputs=width),))
