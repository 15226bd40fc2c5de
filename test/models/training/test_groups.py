import pytest
from setups import FAMILIES, LORA, build, document, full_document, trainable
from torch import nn

from mobile_vla_models.training.groups import GROUPS, parameter_groups
from mobile_vla_models.training.trainable import set_trainable


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_of_every_family_is_in_one_group(family: str) -> None:
    model = build(document(family, language_head=True))
    groups = parameter_groups(model)
    names = [name for members in groups.values() for name in members]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert set(groups) >= {"decoder", "embeddings", "vision", "connector", "action_tokens", "head"}
    blocks = [name for name in groups["decoder"] if ".layers.0." in name]
    assert blocks
    assert not [name for name in groups["decoder"] if "embed" in name or "vision" in name or "cross_attn" in name]
    assert len(groups["vision"]) > 10


def test_a_policy_with_every_part_has_every_group() -> None:
    model = build(full_document())
    set_trainable(model, trainable(lora=LORA))
    assert set(GROUPS) - set(parameter_groups(model)) == {"language_head"}  # Kosmos-2's is tied


def test_a_tied_language_head_is_no_group_of_its_own() -> None:
    tied, untied = (build(document(family, language_head=True)) for family in ("kosmos2", "llava"))
    assert "language_head" not in parameter_groups(tied)
    assert list(parameter_groups(untied)["language_head"]) == ["backbone.model.lm_head.weight"]
    assert "language_head" not in parameter_groups(build(document("llava")))


def test_gated_cross_attention_and_the_models_own_resampler_are_connectors() -> None:
    groups = parameter_groups(build(document("idefics")))
    connector = "".join(groups["connector"])
    assert "gated_cross_attn_layers" in connector
    assert "perceiver_resampler" in connector
    assert {"backbone.model.model.norm.weight"} <= groups["decoder"].keys()
    assert all("vision_model" in name for name in groups["vision"])


def test_a_projection_inside_the_vision_tower_is_a_connector() -> None:
    groups = parameter_groups(build(document("qwen3_vl")))
    assert all("merger" in name for name in groups["connector"])
    assert any("deepstack_merger_list" in name for name in groups["connector"])
    assert not [name for name in groups["vision"] if "merger" in name]


def test_a_parameter_of_no_group_is_named() -> None:
    model = build()
    model.extra = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"extra.weight \(3, 2\) is in no group"):
        parameter_groups(model)


def test_a_parameter_of_two_groups_is_named() -> None:
    model = build()
    tower = model.backbone.vision_tower
    model.backbone.text_tower.shared = tower.model.post_layernorm  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"shared.weight .* in the groups decoder and vision"):
        parameter_groups(model)
