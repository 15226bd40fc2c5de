"""What a step takes is counted right, and the machine's limits are what it reached."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import sleep

import numpy as np
import pytest
import torch
from tiny import tiny_policy
from torch import nn

from mobile_vla_models.benchmark.policy import roofline as roofline_module
from mobile_vla_models.benchmark.policy.cost import PartCost, exported, part_precisions, step_cost
from mobile_vla_models.benchmark.policy.full_size import random_policy
from mobile_vla_models.benchmark.policy.pictures import INSTRUCTION
from mobile_vla_models.benchmark.policy.roofline import (
    PRODUCTS,
    Product,
    Roofline,
    Shape,
    measure_roofline,
    model_shapes,
    step_floor,
)
from mobile_vla_models.convert.hybrid_layout import small
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.quantization.precision import Precision
from policies import build, document

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline_module, "_LEAST", 1 << 22)
    monkeypatch.setattr(roofline_module, "_MOST", 1 << 22)


def by_hand(policy: VLAPolicy, tokens: int) -> dict[str, int]:
    """Operations of `small()`'s policy: Kosmos-2 128 wide of 2 blocks, vision 64, 4 latents, CLIP 48, LSTM 64."""

    def linear(rows: int, inputs: int, outputs: int) -> int:
        return 2 * rows * inputs * outputs

    def attention(queries: int, keys: int, width: int) -> int:
        return 2 * 2 * queries * keys * width

    def block(rows: int, width: int, inner: int) -> int:
        return 4 * linear(rows, width, width) + attention(rows, rows, width) + 2 * linear(rows, width, inner)

    patches, clip_patches = (28 // 7) ** 2, (28 // 14) ** 2
    seen = patches + 1
    return {
        "vision": linear(patches, 3 * 7 * 7, 64) + 2 * block(seen, 64, 256),
        "connector": linear(seen, 64, 128)
        + 2 * linear(seen, 128, 128)
        + attention(4, seen + 4, 128)
        + linear(4, 128, 128),
        "text": 2 * block(tokens, 128, 512),
        "clip": linear(clip_patches, 3 * 14 * 14, 48) + 2 * block(clip_patches + 1, 48, 192) + linear(1, 48, 32),
        "history": linear(1, 160, 128),
        "head": 8 * (2 * 4 * 64 * (128 + 64) + 3 * 2 * 4 * 64 * (64 + 64))
        + linear(8, 64, 32)
        + linear(8, 32, 32)
        + linear(8, 32, 2),
    }


def weight_bytes(*modules: nn.Module) -> int:
    return sum(tensor.nbytes for module in modules for tensor in (*module.parameters(), *module.buffers()))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "w8a8"])
def test_operations_are_those_of_the_formula(precision: str) -> None:
    policy = random_policy(small(), precision)
    costs = {cost.name: cost for cost in step_cost(policy)}
    tokens = 4 + len(policy.encoder.prompts([INSTRUCTION]).ids[0])
    expected = by_hand(policy, tokens)
    assert costs.keys() == expected.keys()
    for name, operations in expected.items():
        assert costs[name].operations == pytest.approx(operations, rel=0.01), name


def test_weights_are_those_that_a_step_reads() -> None:
    policy = tiny_policy()
    model, costs = policy.model, {cost.name: cost for cost in step_cost(policy)}
    kosmos = model.backbone.model
    assert model.head is not None
    assert model.fusion is not None
    vision, text, projection = kosmos.vision_model.model, kosmos.text_model.model, kosmos.image_to_text_projection
    # Whole numbers that say where patches are: nothing looks them up.
    positions = vision.embeddings.position_ids.nbytes
    assert costs["vision"].weights == weight_bytes(vision) - positions
    tokens = 3 + len(policy.encoder.prompts([INSTRUCTION]).ids[0]) + 1  # the picture, the words, the action
    assert costs["text"].weights == weight_bytes(text.layers, text.layer_norm) + tokens * 16 * 4
    kept = 3 * projection.latent_query.nbytes
    attention = projection.x_attn
    assert costs["connector"].weights == kept + weight_bytes(
        projection.dense, attention.k_proj, attention.v_proj, attention.out_proj
    )
    assert costs["history"].weights == weight_bytes(model.fusion)
    assert costs["head"].weights == weight_bytes(model.head)


def test_integers_are_read_as_integers() -> None:
    plain, rounded = (
        {cost.name: cost for cost in step_cost(random_policy(small(), name))} for name in ("fp32", "int8")
    )
    assert rounded["text"].weights < 0.3 * plain["text"].weights
    assert rounded["head"].weights == plain["head"].weights
    assert rounded["text"].precision is Precision.INT8
    assert rounded["head"].precision is Precision.FP32


def test_precision_is_read_from_the_weights() -> None:
    assert part_precisions(random_policy(small(), "w8a8").model) == {
        "vision": Precision.W8A8,
        "text": Precision.W8A8,
        "clip": Precision.W8A8,
        "head": Precision.FP32,
    }


def test_a_policy_without_parts_is_counted_as_a_whole() -> None:
    policy = build(document("kosmos2", "lstm", "pre"))
    (cost,) = step_cost(policy)
    assert cost.name == "model"
    assert cost.operations > 0
    # Of the table of words, a few rows.
    words = policy.model.backbone.word_embedding.weight.nbytes
    assert 0 < cost.weights <= weight_bytes(policy.model) - words


def test_an_export_reads_its_own_weights() -> None:
    costs = [PartCost("vision", Precision.BF16, 1000, 400), PartCost("head", Precision.BF16, 10, 8)]
    assert exported(costs, "int8") == [
        PartCost("vision", Precision.W8A8, 1000, 200),
        PartCost("head", Precision.FP32, 10, 16),
    ]
    assert exported(costs, "fp16")[0] == PartCost("vision", Precision.FP16, 1000, 400)


def test_onnx_runtimes_products_have_their_own_limits() -> None:
    pytest.importorskip("onnxruntime")
    from mobile_vla_models.benchmark.policy.onnx_products import ONNX_PRODUCTS

    line = measure_roofline(CPU, [(8, 16, 16)], 2, ONNX_PRODUCTS)
    assert set(line.rates) == {"fp32", "int8"}
    assert all(rate > 0.0 for rate in line.rates.values())
    (product,) = ONNX_PRODUCTS["int8"]
    work = product((8, 16, 4), CPU)
    assert work is not None
    (found,) = work()  # type: ignore[misc]
    assert (found.shape, found.dtype) == ((8, 4), np.int32)
    # About 128: of unsigned numbers alone all sums would be positive.
    assert found.min() < 0 < found.max()


def test_the_limits_are_positive_and_finite() -> None:
    line = measure_roofline(CPU, [(8, 16, 16), (32, 32, 32)], repeats=2)
    assert set(line.rates) == set(PRODUCTS)
    assert all(math.isfinite(value) and value > 0.0 for value in (*line.rates.values(), line.read, line.copied))


def test_the_best_way_and_shape_count() -> None:
    def sleeping(seconds: Callable[[Shape], float]) -> Product:
        return lambda shape, device: lambda: sleep(seconds(shape))

    slow, fast = sleeping(lambda shape: 0.05), sleeping(lambda shape: 0.02 if shape[0] == 10 else 0.1)
    line = measure_roofline(CPU, [(10, 100, 100), (10, 10, 10)], 2, {"fp32": (slow,), "bf16": (slow, fast)})
    assert line.rates["bf16"] > line.rates["fp32"]
    # 200,000 operations in no less than 0.02 s.
    assert line.rates["bf16"] <= 2 * 10 * 100 * 100 / 0.02


def test_a_product_that_a_machine_lacks_is_left_out() -> None:
    line = measure_roofline(CPU, [(8, 8, 8)], 1, {**PRODUCTS, "int8": (lambda shape, device: None,)})
    assert "int8" not in line.rates
    assert line.rate(Precision.W8A8) == max(line.rates.values())


def test_the_floor_of_a_part_is_the_greater_of_its_two() -> None:
    line = Roofline({"fp32": 100.0, "bf16": 50.0, "int8": 400.0}, read=10.0, copied=20.0)
    costs = [
        PartCost("vision", Precision.FP32, 1000, 40),
        PartCost("text", Precision.BF16, 1000, 400),
        PartCost("clip", Precision.W8A8, 1000, 40),
    ]
    floor = step_floor(costs, line)
    # An emulated bfloat16 does not excuse a slow step: float32 holds the same numbers.
    assert [(part.compute, part.memory) for part in floor] == [(10.0, 2.0), (10.0, 20.0), (2.5, 2.0)]
    assert [part.seconds for part in floor] == [10.0, 20.0, 2.5]


def test_the_shapes_are_the_models() -> None:
    assert model_shapes(tiny_policy().model)[0] == (96, 16, 64)
