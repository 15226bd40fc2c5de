"""A model that cannot be a backbone is refused with the name of what is missing."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from families import FAMILIES
from sequences import ALL, ONE_PICTURE, example, tiny_backbone
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText

from mobile_vla_models.backbone import Backbone, GenericBackbone, LlavaBackbone, backbone_configuration, build_backbone
from mobile_vla_models.errors import BackboneError


def tiny_model(family: str, **text: Any) -> Any:
    document = deepcopy(ALL[family]["config"])
    document.setdefault("text_config", {}).update(text)
    return AutoModelForImageTextToText.from_config(backbone_configuration(document))


@pytest.mark.parametrize("part", ["text_tower", "vision_tower", "word_embedding"])
def test_a_missing_part_is_named(part: str) -> None:
    class Broken(LlavaBackbone):
        pass

    setattr(Broken, part, property(lambda self: self.model.nowhere))
    with pytest.raises(BackboneError, match=rf"Broken: LlavaForConditionalGeneration has no {part}: .*nowhere"):
        Broken(tiny_model("llava"), language_head=True)


def test_a_part_of_the_wrong_kind_is_named() -> None:
    class Broken(LlavaBackbone):
        @property
        def word_embedding(self) -> nn.Embedding:
            return nn.Linear(2, 2)  # type: ignore[return-value]

    with pytest.raises(BackboneError, match=r"Broken\.word_embedding is a Linear, expected Embedding"):
        Broken(tiny_model("llava"), language_head=True)


def test_a_decoder_has_layers() -> None:
    class Broken(LlavaBackbone):
        @property
        def text_tower(self) -> nn.Module:
            return nn.ModuleDict({"embed_tokens": self.model.model.language_model.embed_tokens})

        @property
        def word_embedding(self) -> nn.Embedding:
            return self.model.model.language_model.embed_tokens  # type: ignore[no-any-return]

    with pytest.raises(BackboneError, match=r"Broken\.text_tower, a ModuleDict, has no `layers`"):
        Broken(tiny_model("llava"), language_head=True)


def test_embeddings_are_as_wide_as_the_decoder() -> None:
    class Broken(LlavaBackbone):
        @property
        def hidden_size(self) -> int:
            return 31

    with pytest.raises(BackboneError, match=r"Broken\.word_embedding is 32 wide, hidden_size 31"):
        Broken(tiny_model("llava"), language_head=True)


def test_an_interface_without_all_members_is_none() -> None:
    class Half(Backbone):
        @property
        def text_tower(self) -> nn.Module:
            return self.model  # type: ignore[no-any-return]

    with pytest.raises(TypeError, match="abstract"):
        Half(tiny_model("llava"), language_head=True)  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("family", "own"),
    [("kosmos2", "kosmos2"), ("paligemma", "paligemma"), ("paligemma2", "paligemma"), ("idefics", "idefics")],
)
def test_the_generic_backbone_knows_what_it_is_not_for(family: str, own: str) -> None:
    config = backbone_configuration(FAMILIES[family]["config"])
    with pytest.raises(BackboneError, match=f"its backbone is '{own}', not 'generic'"):
        build_backbone("generic", config, language_head=True)


_TEXT = FAMILIES["llava"]["config"]["text_config"]
_QWEN_VISION = {
    key: value
    for key, value in FAMILIES["qwen3_vl"]["config"]["vision_config"].items()
    if key != "deepstack_visual_indexes"
}
_SIZES = {key: value for key, value in _TEXT.items() if key != "model_type"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {
                "model_type": "mllama",
                "text_config": {**_SIZES, "cross_attention_layers": [1]},
                "vision_config": {
                    "hidden_size": 32,
                    "num_hidden_layers": 2,
                    "num_global_layers": 1,
                    "attention_heads": 4,
                    "image_size": 28,
                    "patch_size": 14,
                    "intermediate_size": 40,
                    "vision_output_dim": 64,
                    "intermediate_layers_indices": [0],
                },
            },
            "MllamaForConditionalGeneration has no get_image_features",
        ),
        (
            {
                "model_type": "qwen3_5",
                "text_config": {**_SIZES, "num_hidden_layers": 4},
                "vision_config": _QWEN_VISION,
            },
            "Qwen3_5TextModel, has layers of type linear_attention; supported: full_attention, sliding_attention",
        ),
        (
            {
                "model_type": "video_llama_3",
                "text_config": {**_TEXT, "model_type": "qwen2"},
                "vision_config": {
                    "hidden_size": 24,
                    "intermediate_size": 40,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 4,
                    "patch_size": 14,
                },
            },
            "get_image_features asks for image_merge_sizes; known: pixel_values, ",
        ),
    ],
    ids=["mllama", "qwen3_5", "video_llama_3"],
)
def test_the_generic_backbone_names_what_it_does_not_find(document: dict[str, Any], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        build_backbone("generic", backbone_configuration(document), language_head=True)


@pytest.mark.parametrize(
    ("where", "key", "value", "message"),
    [
        ("config", "is_encoder_decoder", True, "is an encoder and a decoder; a backbone is one decoder"),
        ("config", "vision_config", None, "Gemma3ForConditionalGeneration.config has no vision_config"),
        ("text", "hidden_size_per_layer_input", 8, "looks up token ids in every layer"),
        ("config", "image_grid_pinpoints", [[56, 56]], "cuts pictures into tiles and has no image_newline"),
    ],
)
def test_the_generic_backbone_says_why_it_does_not_suit(where: str, key: str, value: Any, message: str) -> None:
    model = tiny_model("gemma3")
    setattr(model.config if where == "config" else model.config.text_config, key, value)
    with pytest.raises(BackboneError, match=message):
        GenericBackbone(model, language_head=True)


def test_a_vision_tower_under_no_conventional_name_is_missed() -> None:
    model = tiny_model("gemma3")
    model.model.eyes = model.model.vision_tower
    del model.model.vision_tower
    with pytest.raises(BackboneError, match="has no vision_tower under a conventional name"):
        GenericBackbone(model, language_head=True)


def test_pictures_that_do_not_divide_into_tokens_are_refused() -> None:
    with pytest.raises(BackboneError, match="pictures of 50 x 50, expected multiples of 28"):
        tiny_backbone("qwen2_5_vl").encode_images(torch.zeros(1, 3, 50, 50))


def test_a_picture_that_the_model_drops_is_noticed() -> None:
    # Idefics 3 takes a picture of nothing but zeros for padding.
    pixels = torch.randn(2, 3, 32, 32)
    pixels[1] = 0.0
    with pytest.raises(BackboneError, match="features of "):
        tiny_backbone("idefics3").encode_images(pixels)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_without_a_language_head_there_are_states_and_no_logits(family: str) -> None:
    document = FAMILIES[family]
    backbone = build_backbone(document["backbone"], backbone_configuration(document["config"]), language_head=False)
    heads = [name for name, _ in backbone.named_parameters() if "lm_head" in name]
    assert heads == []
    states = backbone.eval().run(example(family, backbone, [ONE_PICTURE]).sequence)
    with pytest.raises(BackboneError, match="built without its language head"):
        backbone.logits(states)


def test_logits_are_capped_as_gemma_2_caps_them() -> None:
    backbone = GenericBackbone(tiny_model("gemma3", final_logit_softcapping=2.0), language_head=True)
    states = 100 * torch.randn(5, 32)
    head: Tensor = backbone.model.lm_head(states)
    torch.testing.assert_close(backbone.logits(states), 2 * torch.tanh(head / 2))
    assert head.abs().max() > 2


def test_a_sequence_beyond_the_models_positions_is_refused() -> None:
    backbone = LlavaBackbone(tiny_model("llava", max_position_embeddings=12), language_head=True)
    sequence = example("llava", backbone, [ONE_PICTURE]).sequence
    with pytest.raises(ValueError, match="a sequence of 15 tokens is longer than the 12 allowed"):
        backbone.run(sequence)
