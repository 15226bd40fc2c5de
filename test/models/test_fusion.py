"""Features become one vector: summed projections, or layers over all of them side by side in a given order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mobile_vla_models.configuration import ConcatFusionConfig, SumFusionConfig
from mobile_vla_models.fusion import ConcatFusion, SumFusion, build_fusion

SIZES = {"backbone": 5, "clip_image": 3, "clip_text_raw": 2, "backbone_vision": 4}


def concat(features: list[str], layers: list[Any]) -> ConcatFusion:
    config = ConcatFusionConfig.model_validate({"type": "concat", "features": features, "layers": layers})
    torch.manual_seed(0)
    fusion = build_fusion(config, SIZES)
    assert isinstance(fusion, ConcatFusion)
    return fusion.eval()


def features(*shape: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(*shape, size, generator=generator) for name, size in SIZES.items()}


@pytest.mark.parametrize(
    "names", [["backbone", "clip_image", "clip_text_raw"], ["clip_text_raw", "backbone", "clip_image"]]
)
def test_features_lie_side_by_side_in_the_order_of_the_configuration(names: list[str]) -> None:
    fusion, given = concat(names, [6, "relu", 7]), features(2, 4)
    weight, bias = fusion.layers[0].weight, fusion.layers[0].bias
    parts, first = [], 0
    for name in names:
        parts.append(given[name] @ weight[:, first : first + SIZES[name]].T)
        first += SIZES[name]
    assert first == weight.shape[1]
    expected = fusion.layers[2](torch.relu(sum(parts) + bias))
    torch.testing.assert_close(fusion(given), expected)
    assert fusion(given).shape == (2, 4, 7)


def test_another_order_gives_another_answer() -> None:
    given = features(3)
    straight, turned = concat(["backbone", "clip_image"], [4]), concat(["clip_image", "backbone"], [4])
    assert torch.equal(straight.layers[0].weight, turned.layers[0].weight)
    assert not torch.allclose(straight(given), turned(given), atol=0.1)


def test_features_that_are_not_named_change_nothing() -> None:
    given = features(3)
    fusion = concat(["clip_image"], [4, "layer_norm"])
    before = fusion(given)
    assert torch.equal(fusion({**given, "backbone": torch.full((3, 5), float("nan"))}), before)


def test_the_width_of_the_result_is_the_configurations() -> None:
    document = {"type": "concat", "features": ["backbone"], "layers": [6, "relu", 9, "layer_norm"]}
    assert ConcatFusionConfig.model_validate(document).hidden_size == 9


def test_names_of_the_parameters() -> None:
    """A converter writes to them."""
    names = [name for name, _ in concat(["backbone"], [6, "layer_norm", "gelu", 2]).named_parameters()]
    assert names == [f"layers.{place}.{key}" for place in (0, 1, 3) for key in ("weight", "bias")]


def test_a_sum_is_a_linear_layer_over_the_concatenation() -> None:
    config = SumFusionConfig(type="sum", features=("backbone", "clip_image"), hidden_size=6, dropout=0.5)
    torch.manual_seed(0)
    fusion = build_fusion(config, SIZES)
    assert isinstance(fusion, SumFusion)
    fusion.eval()
    nn.init.normal_(fusion.norm.weight, 1.0, 0.3)
    given = features(2, 3)
    layers = [fusion.projections[name] for name in config.features]
    joined = torch.cat([given["backbone"], given["clip_image"]], dim=-1)
    summed = joined @ torch.cat([layer.weight for layer in layers], dim=1).T + layers[0].bias + layers[1].bias
    torch.testing.assert_close(fusion(given), nn.functional.gelu(fusion.norm(summed)))


@pytest.mark.parametrize("kind", [{"type": "sum", "hidden_size": 6, "dropout": 0.0}, {"type": "concat", "layers": [6]}])
@pytest.mark.parametrize(
    ("names", "message"), [(["backbone", "backbone"], "listed twice"), ([], "at least 1"), (["clip_words"], "features")]
)
def test_features_that_are_none_are_refused(kind: dict[str, Any], names: list[str], message: str) -> None:
    model = SumFusionConfig if kind["type"] == "sum" else ConcatFusionConfig
    with pytest.raises(ValidationError, match=message):
        model.model_validate({**kind, "features": names})
