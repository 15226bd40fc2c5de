"""What a model in a file lacks, or has too much; and which release it is of."""

import dataclasses
from pathlib import Path

import pytest
import torch
from inspected import CLIP, KOSMOS2, clip_on_meta, kosmos2_on_meta
from transformers import CLIPConfig, Kosmos2Config

from mobile_vla_models.checkpoint.entry import TensorEntry
from mobile_vla_models.errors import CheckpointError
from mobile_vla_models.inspection.architecture import Difference, compare, deviations, released, visible_config
from mobile_vla_models.inspection.releases import RELEASES, Release
from mobile_vla_models.inspection.structure import clip_widths, kosmos2_widths

SAME = Difference({}, {}, {}, {})


def entry(*shape: int) -> TensorEntry:
    return TensorEntry(torch.float32, shape, torch.zeros(shape, device="meta").stride(), Path("weights.pth"), 0, 0)


@pytest.mark.parametrize("prefix", ["", "kosmos_model"])
def test_a_whole_kosmos2_fits_with_and_without_its_head(prefix: str) -> None:
    start = f"{prefix}." if prefix else ""
    entries = kosmos2_on_meta(start, **KOSMOS2)
    assert compare(entries, prefix, "kosmos2", KOSMOS2) == SAME
    difference = compare(kosmos2_on_meta(start, head=True, **KOSMOS2), prefix, "kosmos2", KOSMOS2)
    assert difference == Difference({}, {}, {}, {f"{start}text_model.lm_head.weight": "language head"})
    assert difference.fits


@pytest.mark.parametrize("prefix", ["", "clip_model"])
def test_a_whole_clip_fits(prefix: str) -> None:
    entries = clip_on_meta(f"{prefix}." if prefix else "", **CLIP)
    assert compare({**entries, "rnn.x": entry(2)}, prefix, "clip", CLIP) == SAME


def test_buffers_of_older_versions_are_left_over() -> None:
    names = ("c.text_model.embeddings.position_ids", "c.vision_model.embeddings.position_ids")
    entries = {**clip_on_meta("c.", **CLIP), **dict.fromkeys(names, entry(1, 7))}
    difference = compare(entries, "c", "clip", CLIP)
    assert difference.left_over == dict.fromkeys(names, "buffer of transformers 4")
    assert difference.fits
    name = "k.vision_model.model.embeddings.position_ids"
    difference = compare({**kosmos2_on_meta("k.", **KOSMOS2), name: entry(1, 17)}, "k", "kosmos2", KOSMOS2)
    assert difference == Difference({}, {}, {}, {name: "buffer of transformers 4"})


def test_what_is_missing_unknown_or_of_another_shape_is_named() -> None:
    entries = kosmos2_on_meta("k.", **KOSMOS2)
    block = [name for name in entries if name.startswith("k.text_model.model.layers.1.")]
    shapes = {name: entries.pop(name).shape for name in block}
    bias = "k.vision_model.model.post_layernorm.bias"
    entries[bias] = dataclasses.replace(entries[bias], shape=(13,))
    entries["k.text_model.model.extra.weight"] = entry(2, 3)
    entries["k.text_model.lm_head.weight"] = entry(51, 16)
    difference = compare(entries, "k", "kosmos2", KOSMOS2)
    assert len(block) == 20
    assert difference == Difference(
        missing=shapes,
        unknown={"k.text_model.model.extra.weight": (2, 3), "k.text_model.lm_head.weight": (51, 16)},
        wrong_shape={bias: ((13,), (12,))},
        left_over={},
    )
    assert not difference.fits


def test_a_configuration_that_no_model_can_be_built_of_is_refused() -> None:
    broken = {**KOSMOS2, "text_config": {**KOSMOS2["text_config"], "attention_heads": 3}}
    with pytest.raises(CheckpointError, match="transformers builds no kosmos2 of"):
        compare({}, "", "kosmos2", broken)


def test_widths_alone_suffice_to_compare_shapes() -> None:
    kosmos, clip = kosmos2_on_meta("k.", **KOSMOS2), clip_on_meta("c.", **CLIP)
    assert compare(kosmos, "k", "kosmos2", visible_config("kosmos2", kosmos2_widths(kosmos, "k"))) == SAME
    assert compare(clip, "c", "clip", visible_config("clip", clip_widths(clip, "c"))) == SAME


@pytest.mark.parametrize(
    ("release", "parameters"),
    list(zip(RELEASES, (1_664_485_376, 151_277_313, 149_620_737, 427_616_513, 427_944_193), strict=True)),
    ids=[release.name for release in RELEASES],
)
def test_each_release_is_known_by_its_own_widths(release: Release, parameters: int) -> None:
    if release.kind == "kosmos2":
        entries = kosmos2_on_meta("m.", **release.config)
        widths = kosmos2_widths(entries, "m")
    else:
        entries = clip_on_meta("m.", **release.config)
        widths = clip_widths(entries, "m")
    assert sum(tensor.numel for tensor in entries.values()) == parameters
    assert released(release.kind, widths) is release
    assert deviations(release, widths) == ()
    assert compare(entries, "m", release.kind, release.config) == SAME


def test_release_configurations_are_those_of_transformers() -> None:
    kosmos, clip = RELEASES[0], RELEASES[1]
    assert (kosmos.name, clip.name) == ("microsoft/kosmos-2-patch14-224", "openai/clip-vit-base-patch32")
    assert_same(Kosmos2Config().to_dict(), kosmos.config)
    # transformers' defaults are CLIP's tokens; the released file says 0 and 2 and is read as such.
    defaults = CLIPConfig().to_dict()
    assert (defaults["text_config"]["bos_token_id"], defaults["text_config"]["eos_token_id"]) == (49406, 49407)
    defaults["text_config"] |= {"bos_token_id": 0, "eos_token_id": 2}
    assert_same(defaults, clip.config)


def assert_same(defaults: dict[str, object], config: dict[str, object]) -> None:
    for key, value in config.items():
        if isinstance(value, dict):
            assert_same(defaults[key], value)
        else:
            assert defaults[key] == value, key


def test_a_release_with_fewer_layers_or_more_words_is_told_by_its_widths() -> None:
    entries = kosmos2_on_meta(
        "k.", text_config={"layers": 6, "vocab_size": 65038}, vision_config={"num_hidden_layers": 6}
    )
    widths = kosmos2_widths(entries, "k")
    release = released("kosmos2", widths)
    assert release is not None
    assert deviations(release, widths) == (
        "text_model has 6 layers, microsoft/kosmos-2-patch14-224 has 24",
        "text_model has 65,038 words, microsoft/kosmos-2-patch14-224 has 65,037",
        "vision_model has 6 layers, microsoft/kosmos-2-patch14-224 has 24",
    )
    assert compare(entries, "k", "kosmos2", visible_config("kosmos2", widths)) == SAME


def test_other_widths_are_of_no_release() -> None:
    assert released("kosmos2", kosmos2_widths(kosmos2_on_meta("", **KOSMOS2), "")) is None
    widths = clip_widths(clip_on_meta(""), "")
    assert released("clip", widths) is not None
    assert released("kosmos2", widths) is None
    assert released("clip", {**widths, "vision_config": {**widths["vision_config"], "image_size": 256}}) is None
