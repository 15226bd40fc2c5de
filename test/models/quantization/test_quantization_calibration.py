"""Calibration of chains of blocks: plain ones, and transformers' own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, Kosmos2Config, Kosmos2Model

from mobile_vla_models.errors import PrecisionError
from mobile_vla_models.quantization import (
    Precision,
    dequantise,
    linear_layers,
    quantise,
    quantise_blocks,
    quantise_layers,
)

WIDTH = 64


class Block(nn.Module):
    """Like a decoder block: keyword arguments, a tuple back, a cache that grows with every call."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(
        self, hidden_states: Tensor, gain: Tensor, past_key_values: list[Tensor] | None = None
    ) -> tuple[Tensor, str]:
        if past_key_values is not None:
            past_key_values.append(hidden_states)
        hidden_states += self.down(torch.relu(self.up(self.norm(hidden_states)))) * gain
        return hidden_states, "attention"


class Chain(nn.Module):
    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(count))
        self.caches: list[list[Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.caches.append([])
        x = x.clone()
        for number, block in enumerate(self.blocks):
            # A keyword argument of each block's own.
            x = block(hidden_states=x, gain=torch.tensor(1.0 + number), past_key_values=self.caches[-1])[0]
        return x


def chain(seed: int = 0) -> Chain:
    torch.manual_seed(seed)
    return Chain().eval()


def correlated(count: int, seed: int, tokens: int = 12) -> list[Tensor]:
    """Hidden states (1, tokens, WIDTH) with few common factors and some noise; factors do not depend on the seed."""
    factors = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(1, tokens, 6, generator=generator) @ factors
        + 0.1 * torch.randn(1, tokens, WIDTH, generator=generator)
        for _ in range(count)
    ]


def calibrate(
    blocks: nn.ModuleList, forward: Callable[[Tensor], object], inputs: list[Tensor]
) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}

    def run() -> None:
        for x in inputs:
            with torch.inference_mode():
                forward(x)

    quantise_blocks(blocks, run, found.__setitem__)
    return found


def error_with(
    blocks: nn.ModuleList, tensors: dict[str, dict[str, Tensor]], forward: Callable[[Tensor], Tensor], new: list[Tensor]
) -> float:
    """Relative L2 of the outputs when the blocks have the tensors' weights."""
    with torch.no_grad():
        expected = torch.cat([forward(x) for x in new])
        originals = {name: layer.weight for name, layer in linear_layers(blocks).items()}
        for name, layer in linear_layers(blocks).items():
            layer.weight = nn.Parameter(dequantise(tensors[name]), requires_grad=False)
        found = torch.cat([forward(x) for x in new])
        for name, layer in linear_layers(blocks).items():
            layer.weight = originals[name]
    return float((found - expected).norm() / expected.norm())


def nearest(blocks: nn.ModuleList) -> dict[str, dict[str, Tensor]]:
    return {name: quantise(layer.weight, Precision.INT4) for name, layer in linear_layers(blocks).items()}


def test_a_plain_chain_errs_less_than_rounding_to_nearest() -> None:
    model = chain()
    found = calibrate(model.blocks, model, correlated(24, seed=1))
    assert list(found) == [f"{index}.{name}" for index in range(3) for name in ("up", "down")]
    new = correlated(24, seed=2)
    ours, plain = (error_with(model.blocks, t, model, new) for t in (found, nearest(model.blocks)))
    assert ours < 0.75 * plain


def test_kosmos_text_blocks() -> None:
    tokens = {"vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    config = Kosmos2Config(
        text_config={
            **tokens,
            "embed_dim": WIDTH,
            "layers": 2,
            "ffn_dim": 128,
            "attention_heads": 4,
            "max_position_embeddings": 64,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
        },
        latent_query_num=2,
    )
    text = Kosmos2Model(config).eval().text_model.model
    assert config.text_config.use_cache

    def forward(x: Tensor) -> Tensor:
        return text(inputs_embeds=x.clone(), attention_mask=torch.ones(x.shape[:2])).last_hidden_state

    found = calibrate(text.layers, forward, correlated(24, seed=1))
    assert {name.split(".", 1)[1] for name in found} >= {"self_attn.q_proj", "self_attn.out_proj", "ffn.fc1", "ffn.fc2"}
    new = correlated(24, seed=2)
    ours, plain = (error_with(text.layers, t, forward, new) for t in (found, nearest(text.layers)))
    assert ours < 0.8 * plain


def test_clip_vision_blocks() -> None:
    torch.manual_seed(0)
    model = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=16,
            patch_size=4,
        )
    ).eval()
    layers = next(module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == 2)

    def forward(x: Tensor) -> Tensor:
        return model(pixel_values=x).last_hidden_state

    def pictures(seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.randn(16, 1, 3, 4, 4, generator=generator)
        return [nn.functional.interpolate(item, size=16, mode="bilinear") for item in coarse]

    found = calibrate(layers, forward, pictures(1))
    new = pictures(2)
    ours, plain = (error_with(layers, t, forward, new) for t in (found, nearest(layers)))
    assert ours < 0.9 * plain


def test_tensors_fill_quantised_layers_and_later_blocks_see_the_quantised_ones() -> None:
    """The last layer is what GPTQ gives for the outputs of the quantised layers before it, not of the original ones."""
    model, inputs = chain(), correlated(8, seed=1)
    found = calibrate(model.blocks, model, inputs)
    quantised, reference = chain(), chain()
    for name in quantise_layers(quantised.blocks, Precision.INT4, lambda name: name.startswith("2.")):
        layer = quantised.blocks.get_submodule(name)
        layer.load_state_dict({**found[name], "bias": reference.blocks.get_submodule(name).bias.to(torch.bfloat16)})
        layer.bias = reference.blocks.get_submodule(name).bias.detach()
    again = calibrate(quantised.blocks, quantised, inputs)
    original = calibrate(nn.ModuleList([model.blocks[2]]), model, inputs)
    ours = (dequantise(again["2.up"]) != dequantise(found["2.up"])).float().mean()
    others = (dequantise(original["0.up"]) != dequantise(found["2.up"])).float().mean()
    assert float(ours) < 0.2 * float(others)


def test_blocks_are_left_as_they_are(tmp_path: Path) -> None:
    model = chain()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    model.load_state_dict(load_file(tmp_path / "model.safetensors"), assign=True)
    before = dict(model.named_parameters())
    values = {name: parameter.detach().clone() for name, parameter in before.items()}
    calibrate(model.blocks, model, correlated(3, seed=1))
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    for name, parameter in after.items():
        assert parameter is before[name]
        assert torch.equal(parameter, values[name])
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_caches_are_not_run_into_again() -> None:
    model = chain()
    calibrate(model.blocks, model, correlated(4, seed=1))
    assert [len(cache) for cache in model.caches] == [3] * 4


def test_blocks_that_write_into_their_inputs_see_them_unchanged() -> None:
    model, inputs = chain(), correlated(2, seed=1)
    seen: list[Tensor] = []
    model.blocks[0].register_forward_pre_hook(
        lambda block, args, kwargs: seen.append((args[0] if args else kwargs["hidden_states"]).clone()),
        with_kwargs=True,
    )
    calibrate(model.blocks, model, inputs)
    assert len(seen) == 3 * len(inputs)
    for number, x in enumerate(seen):
        assert torch.equal(x, inputs[number % 2])


def test_half_precision_and_progress() -> None:
    model = chain().bfloat16()
    steps: list[tuple[int, int]] = []
    found: list[str] = []
    quantise_blocks(
        model.blocks,
        lambda: model(correlated(1, seed=1)[0].bfloat16()),
        lambda name, tensors: found.append(name),
        lambda done, of: steps.append((done, of)),
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert len(found) == 6


def test_an_error_of_the_receiver_leaves_the_blocks_whole() -> None:
    model = chain()
    before = dict(model.named_parameters())

    def full(name: str, tensors: dict[str, Tensor]) -> None:
        if name == "1.down":
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        quantise_blocks(model.blocks, lambda: model(correlated(1, seed=1)[0]), full)
    assert all(parameter is before[name] for name, parameter in model.named_parameters())


def test_what_cannot_be_calibrated_is_named() -> None:
    model = chain()
    inputs = correlated(1, seed=1)
    with pytest.raises(PrecisionError, match=r"got calls \[0, 0, 0\]"):
        calibrate(model.blocks, model, [])
    with pytest.raises(PrecisionError, match=r"got calls \[1, 0\]"):
        calibrate(nn.ModuleList([model.blocks[0], Block().eval()]), model, inputs)
    with pytest.raises(PrecisionError, match=r"layer 0\.up: .*not finite"):
        calibrate(model.blocks, model, [inputs[0] * float("nan")])
    with pytest.raises(PrecisionError, match="evaluation mode"):
        calibrate(chain().train().blocks, model, inputs)
    odd = nn.ModuleList([nn.Sequential(nn.Linear(33, 33)).eval()])
    with pytest.raises(PrecisionError, match=r"layer 0\.0: .*got 33"):
        calibrate(odd, odd[0], [torch.zeros(1, 33)])
    wide = nn.ModuleList([nn.Linear(32, 64).eval()])
    with pytest.raises(PrecisionError, match=r"type Linear returned \(1, 64\), expected hidden states of \(1, 32\)"):
        quantise_blocks(wide, lambda: wide[0](torch.zeros(1, 32)), lambda name, tensors: None)
