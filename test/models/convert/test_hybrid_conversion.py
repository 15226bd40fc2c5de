"""A converted Simple-CLIP-LSTM gives what plain transformers give, in every precision within what its receipt says."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hybrids import (
    PLAIN,
    READING,
    SCALE,
    WINDOW,
    Hybrids,
    Recipe,
    Reference,
    layout,
    reference_roll_out,
    roll_out,
    runs,
    tree,
)
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mobile_vla_models import PolicyDirectoryError
from mobile_vla_models.convert import stored
from mobile_vla_models.convert.hybrid_settings import HybridSettings
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.quantization.linear import QuantisedLinear
from mobile_vla_models.receipt import Receipt
from policies import unwidened

FRAMES = runs(1, WINDOW + 2, seed=5)[0]
MEASURED = runs(2, 3)
PRECISIONS: dict[str, dict[str, str]] = {
    "fp32": {},
    "fp16": {},
    "bf16": {},
    "int8": {},
    "w8a8": {},
    "int4": {"clip": "int8"},
}
MIXED = {"vision": "fp16", "text": "int8", "clip": "bf16", "head": "fp32"}
IMAGE = Recipe(
    ("backbone", "backbone_image", "clip_image_pooled"), ("kosmos_text:first", "kosmos_image:mean", "clip_image_pooled")
)
# By name: widths of the checkpoint, recipe, and what is said beside it.
CASES: dict[str, tuple[dict[str, Any], Recipe, dict[str, Any]]] = {
    "160, unit length, relu": (
        {},
        Recipe(("backbone", "clip_image"), ("kosmos_text:mean", "clip_image:unit")),
        {},
    ),
    "160, words first, gelu, max": (
        {"norms": False},
        Recipe(("clip_text_raw", "backbone"), ("clip_text", "kosmos_text:max"), ("all", "max")),
        {"activation": "gelu", "fusion_activation": "relu"},
    ),
    "160, no decoder, silu, no tanh": (
        {"hidden": 32},
        Recipe(("backbone_image", "clip_text_pooled"), ("kosmos_image:mean", "clip_text_pooled"), None),
        {"activation": "silu", "final_tanh": False},
    ),
    "304, first": ({"width": 304, "hidden": 32}, Recipe(IMAGE.ours, IMAGE.theirs, ("all", "first")), {}),
    "304, five features, last": (
        {"width": 304},
        Recipe(
            ("clip_image_pooled", "backbone", "backbone_vision", "clip_image_raw", "clip_text"),
            ("clip_image_pooled", "kosmos_text:last", "kosmos_vision", "clip_image", "clip_text:unit"),
            ("all", "last"),
        ),
        {"activation": "tanh"},
    ),
    "272, mean of words": (
        {"width": 272},
        Recipe(
            READING.ours,
            ("kosmos_text:words", *READING.theirs[1:]),
            ("text", "mean"),
        ),
        {"fusion_activation": "gelu"},
    ),
    "272, pooled words": (
        {"width": 272, "hidden": 32, "norms": False},
        Recipe(
            ("clip_text_pooled", "clip_image_pooled", "backbone_vision", "backbone_image"),
            ("clip_text_pooled", "clip_image_pooled", "kosmos_vision", "kosmos_image:mean"),
            None,
        ),
        {"activation": "gelu", "final_tanh": False},
    ),
}


@pytest.fixture(scope="session")
def hybrids(tmp_path_factory: pytest.TempPathFactory) -> Hybrids:
    return Hybrids(tmp_path_factory.mktemp("hybrids"))


@pytest.fixture(scope="session")
def reading(hybrids: Hybrids, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Receipt]]:
    """One checkpoint that needs every tower, in each precision, with its receipt."""
    made: dict[str, tuple[Path, Receipt]] = {}

    def get(precision: str) -> tuple[Path, Receipt]:
        if precision not in made:
            out = tmp_path_factory.mktemp(precision) / "policy"
            path, settings = hybrids.checkpoint(layout(width=272)), hybrids.settings(READING)
            parts = PRECISIONS[precision]
            made[precision] = out, hybrids.convert(path, out, settings, precision=precision, parts=parts, over=MEASURED)
        return made[precision]

    return get


@pytest.fixture(scope="session")
def plain(hybrids: Hybrids, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "policy"
    hybrids.convert(hybrids.checkpoint(), out)
    return out


@pytest.fixture(scope="session")
def mixed(hybrids: Hybrids, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mixed") / "policy"
    hybrids.convert(hybrids.checkpoint(layout(width=272)), out, hybrids.settings(READING), parts=MIXED, over=MEASURED)
    return out


def close(found: Any, expected: Any, relative: float = 1e-5) -> bool:
    """Relative to the greatest of the numbers."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return bool(np.abs(found - expected).max() <= relative * np.abs(expected).max())


def reference_for(hybrids: Hybrids, widths: dict[str, Any], recipe: Recipe, settings: HybridSettings) -> Reference:
    made = layout(**widths)
    return Reference(
        hybrids.checkpoint(made),
        made,
        inputs=recipe.theirs,
        activation=str(settings.activation),
        fusion_activation=settings.fusion_activation,
        final_tanh=settings.final_tanh,
        scale=SCALE,
    )


@pytest.mark.parametrize("name", CASES)
def test_every_step_is_that_of_plain_transformers(hybrids: Hybrids, tmp_path: Path, name: str) -> None:
    widths, recipe, said = CASES[name]
    settings = hybrids.settings(recipe, **said)
    hybrids.convert(hybrids.checkpoint(layout(**widths)), tmp_path / "policy", settings)
    policy = VLAPolicy.from_pretrained(tmp_path / "policy")
    found = roll_out(policy, FRAMES)[:, 0]
    expected = reference_roll_out(reference_for(hybrids, widths, recipe, settings), policy, hybrids.tokenizer, FRAMES)
    assert close(found, expected)
    # Frames and their number tell, so that a window of another length would.
    assert np.abs(np.diff(expected, axis=0)).max() > 1e-3


def test_the_order_of_features_tells(hybrids: Hybrids, tmp_path: Path) -> None:
    swapped = Recipe((IMAGE.ours[1], IMAGE.ours[0], IMAGE.ours[2]), (), ("all", "first"))
    widths, recipe, _ = CASES["304, first"]
    hybrids.convert(hybrids.checkpoint(layout(**widths)), tmp_path / "policy", hybrids.settings(swapped))
    policy = VLAPolicy.from_pretrained(tmp_path / "policy")
    reference = reference_for(hybrids, widths, recipe, hybrids.settings(recipe))
    unswapped = reference_roll_out(reference, policy, hybrids.tokenizer, FRAMES)
    assert np.abs(roll_out(policy, FRAMES)[:, 0] - unswapped).max() > 1e-2


def test_without_tanh_outputs_leave_their_range(hybrids: Hybrids, tmp_path: Path) -> None:
    path = hybrids.changed(tmp_path / "far.pth", {"actions.mlp.8.bias": torch.tensor([3.0, -4.0])})
    hybrids.convert(path, tmp_path / "policy", hybrids.settings(final_tanh=False))
    free = roll_out(VLAPolicy.from_pretrained(tmp_path / "policy"), FRAMES)
    assert (free[..., 0] > SCALE).all()
    assert (free[..., 1] < -SCALE).all()


def test_outputs_are_a_chunk_of_actions_each_with_its_scale(hybrids: Hybrids, tmp_path: Path) -> None:
    widths, scales = {"outputs": 6}, (0.5, 3.0)
    settings = hybrids.settings(action_scale=scales)
    receipt = hybrids.convert(hybrids.checkpoint(layout(**widths)), tmp_path / "policy", settings)
    policy = VLAPolicy.from_pretrained(tmp_path / "policy")
    assert policy.config.chunk == 3
    assert [(action.minimum, action.maximum) for action in policy.config.action.continuous] == [(-0.5, 0.5), (-3, 3)]
    assert [(action.name, action.unit) for action in receipt.actions] == [("linear_x", "m/s"), ("angular_z", "rad/s")]
    found = roll_out(policy, FRAMES)
    expected = reference_roll_out(reference_for(hybrids, widths, PLAIN, settings), policy, hybrids.tokenizer, FRAMES)
    assert close(found, expected.reshape(-1, 3, 2) / SCALE * np.array(scales))


def test_a_fusion_of_several_layers(hybrids: Hybrids, tmp_path: Path) -> None:
    """Linear, layer norm, activation, dropout, linear, in the place of the one linear layer."""
    torch.manual_seed(3)
    fusion = nn.Sequential(nn.Linear(160, 96), nn.LayerNorm(96), nn.SiLU(), nn.Dropout(), nn.Linear(96, 128))
    nn.init.normal_(fusion[1].weight, 1.0, 0.2)
    names = {"feature_fusion.weight": None, "feature_fusion.bias": None}
    tensors = {f"feature_fusion.{name}": tensor for name, tensor in fusion.state_dict().items()}
    path = hybrids.changed(tmp_path / "deep.pth", {**names, **tensors})
    settings = hybrids.settings(fusion_activation="silu")
    hybrids.convert(path, tmp_path / "policy", settings)
    policy = VLAPolicy.from_pretrained(tmp_path / "policy")
    reference = reference_for(hybrids, {}, PLAIN, hybrids.settings())
    reference.feature_fusion = fusion.eval()
    assert close(
        roll_out(policy, FRAMES)[:, 0], reference_roll_out(reference, policy, hybrids.tokenizer, FRAMES), relative=1e-5
    )


def test_a_fusion_of_one_layer_with_a_number_is_that_layer(hybrids: Hybrids, plain: Path, tmp_path: Path) -> None:
    keys = ("weight", "bias")
    path = hybrids.changed(
        tmp_path / "numbered.pth",
        {
            **{f"feature_fusion.{key}": None for key in keys},
            **{f"feature_fusion.0.{key}": hybrids.tensor(f"feature_fusion.{key}") for key in keys},
        },
    )
    hybrids.convert(path, tmp_path / "numbered")
    assert weights(tmp_path / "numbered") == weights(plain)


@pytest.mark.parametrize("head", ["tied", "copied"])
def test_a_language_head_is_left_out_and_said(hybrids: Hybrids, plain: Path, tmp_path: Path, head: str) -> None:
    hybrids.convert(hybrids.checkpoint(layout(language_head=head)), tmp_path / "policy")
    assert weights(tmp_path / "policy") == weights(plain)
    training = json.loads((tmp_path / "policy" / "training.json").read_text())
    assert training["dropped"]["kosmos_model.text_model.lm_head.weight"] == "language head"
    assert "1 tensors left out: language head" in (tmp_path / "policy" / "README.md").read_text()


def test_towers_that_no_feature_needs_are_left_out_and_said(plain: Path) -> None:
    found = load_file(plain / "model.safetensors")
    assert not [name for name in found if "clip.text" in name or "logit_scale" in name]
    dropped = json.loads((plain / "training.json").read_text())["dropped"]
    assert dropped.pop("clip_model.logit_scale") == "CLIP's temperature, of its training"
    assert set(dropped.values()) == {"no --fusion-inputs of clip_text"}
    text = {name for name in layout().module().state_dict() if name.startswith("clip_model.text")}
    assert set(dropped) == text
    assert not (plain / "tokenizer_clip").exists()


def test_every_tensor_arrives_with_its_numbers(
    hybrids: Hybrids, reading: Callable[[str], tuple[Path, Receipt]]
) -> None:
    directory, receipt = reading("fp32")
    found = load_file(directory / "model.safetensors")
    state = dict(torch.load(hybrids.checkpoint(layout(width=272)), weights_only=False)["model_state_dict"])
    del state["clip_model.logit_scale"]
    unmatched = dict(found)
    places = {"kosmos_model.": "backbone.model.", "clip_model.": "clip.clip.", "rnn.": "head.rnn."}
    places |= {"feature_fusion.": "fusion.layers.0."}
    # The head has no dropout: index 4 of the file is the fourth of its layers.
    places |= {f"actions.mlp.{a}.": f"head.continuous.mlp.{b}." for a, b in ((0, 0), (1, 1), (4, 3), (5, 4), (8, 6))}
    for name, tensor in state.items():
        start = next(start for start in places if name.startswith(start))
        assert torch.equal(unmatched.pop(places[start] + name.removeprefix(start)), tensor), name
    assert not unmatched
    assert receipt.parameters == sum(tensor.numel() for tensor in state.values())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_all_blocks_are_there(reading: Callable[[str], tuple[Path, Receipt]], precision: str) -> None:
    policy = VLAPolicy.from_pretrained(reading(precision)[0])
    names = [f"{name}." for name, _ in policy.model.named_modules()]
    blocks = {match[0] for name in names if (match := re.match(r".*\.layers\.\d+\.", name)) and "fusion" not in name}
    towers: dict[str, int] = {}
    for block in blocks:
        tower = re.sub(r"\.\d+\.$", "", block)
        towers[tower] = towers.get(tower, 0) + 1
    assert sorted(towers.values()) == [2, 2, 2, 2]
    quantised = sum(isinstance(module, QuantisedLinear) for module in policy.model.modules())
    # Four of attention and two of the feed-forward in each block; int4 takes no layers but those of blocks.
    least = 4 * 2 * 6
    assert quantised == 0 if precision in ("fp32", "fp16", "bf16") else quantised >= least


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_receipt_is_right(hybrids: Hybrids, reading: Callable[[str], tuple[Path, Receipt]], precision: str) -> None:
    """Everything it says, computed anew from the two policies as they are loaded."""
    directory, receipt = reading(precision)
    measured = MEASURED[::2] if precision == "int4" else MEASURED
    policies = [unwidened(VLAPolicy.from_pretrained(path)) for path in (reading("fp32")[0], directory)]
    actions, features = zip(*(watched(policy, measured) for policy in policies), strict=True)
    errors = np.abs(actions[1] - actions[0])
    for number, action in enumerate(receipt.actions):
        mean, greatest = errors[..., number].mean(), errors[..., number].max()
        np.testing.assert_allclose((action.mean, action.maximum), (mean, greatest), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(action.share, greatest / (2 * SCALE), rtol=1e-3, atol=1e-6)
    off = np.linalg.norm(features[1] - features[0]) / np.linalg.norm(features[0])
    np.testing.assert_allclose(receipt.features, off, rtol=1e-3, atol=1e-6)
    file = directory / "model.safetensors"
    assert receipt.disk == file.stat().st_size
    assert receipt.weights == sum(tensor.nbytes for tensor in load_file(file).values())
    assert receipt.sha256 == hashlib.sha256(hybrids.checkpoint(layout(width=272)).read_bytes()).hexdigest()
    assert (receipt.frames, receipt.runs) == (3 * len(measured), len(measured))
    assert receipt.not_finite == 0.0
    assert not receipt.forced
    assert Receipt.load(directory) == receipt
    if precision == "fp32":
        assert receipt.worst == 0.0
    else:
        assert 0.0 < receipt.worst < 0.05
        assert receipt.features is not None
        assert 1e-5 < receipt.features < 0.2


def test_the_smaller_the_precision_the_smaller_the_file(reading: Callable[[str], tuple[Path, Receipt]]) -> None:
    sizes = {name: reading(name)[1].disk for name in PRECISIONS}
    assert sizes["fp32"] > sizes["bf16"] > sizes["int8"] > sizes["int4"]
    # Names and shapes are the rest of the file.
    assert abs(sizes["fp16"] - sizes["bf16"]) < 1024
    assert abs(sizes["fp32"] - 2 * sizes["fp16"]) < 64 * 1024


def test_each_part_is_stored_in_its_own_precision(mixed: Path) -> None:
    dtypes: dict[str, set[torch.dtype]] = {}
    rounded = []
    for name, tensor in load_file(mixed / "model.safetensors").items():
        if name.startswith(("backbone.model.vision_model.", "backbone.model.image_to_text_projection.")):
            part = "vision"
        elif name.startswith("backbone.model.text_model."):
            part = "text"
            rounded += [name] if tensor.dtype == torch.int8 else []
        else:
            part = name.split(".")[0]
        dtypes.setdefault(part, set()).add(tensor.dtype)
    assert dtypes == {
        "vision": {torch.float16},
        "text": {torch.int8, torch.float32, torch.bfloat16},
        "clip": {torch.bfloat16},
        "fusion": {torch.float32},
        "head": {torch.float32},
    }
    assert len(rounded) == 2 * 6
    assert all(re.search(r"\.layers\.\d+\.", name) for name in rounded)


def test_each_part_computes_in_its_own_precision(mixed: Path) -> None:
    policy = unwidened(VLAPolicy.from_pretrained(mixed))
    seen: dict[str, set[torch.dtype]] = {}
    handles = []
    for name, module in policy.model.named_modules():
        if isinstance(module, nn.LayerNorm | QuantisedLinear | nn.LSTM | nn.Linear):

            def watch(_: nn.Module, inputs: Any, outputs: Any, part: str = name) -> None:
                first = outputs[0] if isinstance(outputs, tuple) else outputs
                seen.setdefault(part, set()).add(first.dtype)

            handles.append(module.register_forward_hook(watch))
    roll_out(policy, FRAMES)
    for start, dtype in (
        ("backbone.model.vision_model.", torch.float16),
        ("backbone.model.image_to_text_projection.", torch.float16),
        ("backbone.model.text_model.", torch.bfloat16),
        ("clip.", torch.bfloat16),
        ("fusion.", torch.float32),
        ("head.", torch.float32),
    ):
        found = [dtypes for name, dtypes in seen.items() if name.startswith(start)]
        assert found, start
        assert set().union(*found) == {dtype}, start


def test_quantised_weights_are_those_of_the_file_to_half_a_step(
    hybrids: Hybrids, reading: Callable[[str], tuple[Path, Receipt]]
) -> None:
    """Row by row, so that rows which were put in another place would show."""
    exact = load_file(reading("fp32")[0] / "model.safetensors")
    for precision in ("int8", "w8a8"):
        found = load_file(reading(precision)[0] / "model.safetensors")
        layers = [name.removesuffix(".scale") for name in found if name.endswith(".scale")]
        assert len(layers) > 4 * 2 * 6
        for layer in layers:
            step = found[f"{layer}.scale"].unsqueeze(1)
            error = (found[f"{layer}.weight"].float() * step - exact[f"{layer}.weight"]).abs()
            assert bool((error <= 0.501 * step).all()), layer


def test_pieces_of_any_size_make_the_same_file(
    hybrids: Hybrids, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the matrices some rows at a time, and of what is no matrix an odd number of elements.
    monkeypatch.setattr(stored, "_PIECE", 1001)
    path, settings = hybrids.checkpoint(layout(width=272)), hybrids.settings(READING)
    hybrids.convert(path, tmp_path / "pieces", settings, parts=MIXED, over=MEASURED)
    assert weights(tmp_path / "pieces") == weights(mixed)


def test_golden_vectors_are_checked_when_it_is_loaded(
    reading: Callable[[str], tuple[Path, Receipt]], tmp_path: Path
) -> None:
    source = reading("int8")[0]
    copy = tmp_path / "policy"
    for name, content in tree(source).items():
        target = copy / name
        if (source / name).is_dir():
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    VLAPolicy.from_pretrained(copy)
    tensors = load_file(copy / "model.safetensors")
    tensors["head.continuous.mlp.6.bias"] += 1.0
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(PolicyDirectoryError, match="golden"):
        VLAPolicy.from_pretrained(copy)


def test_the_directory_says_where_it_came_from(reading: Callable[[str], tuple[Path, Receipt]]) -> None:
    directory, receipt = reading("int8")
    card, training = (directory / "README.md").read_text(), json.loads((directory / "training.json").read_text())
    assert receipt.sha256 in card
    assert "vision int8, text int8, clip int8, head fp32" in card
    assert "no limits of a base" in card
    assert f"{receipt.actions[0].share:.2%}" in card
    assert training["converted_from"] == "model.pth"
    assert training["said"]["fusion_inputs"] == list(READING.ours)
    assert training["said"]["window"] == WINDOW
    assert training["said"]["final_tanh"] is True
    assert training["said"]["limits"] is None


def test_the_prompt_holds_the_picture_where_it_is_said(hybrids: Hybrids, plain: Path, tmp_path: Path) -> None:
    """Words before the picture make another answer: the prompt is not decoration."""
    prompt = "<s>{instruction}{front}</s>"
    hybrids.convert(hybrids.checkpoint(), tmp_path / "policy", hybrids.settings(prompt=prompt))
    policy = VLAPolicy.from_pretrained(tmp_path / "policy")
    assert policy.config.prompt == prompt
    assert np.abs(roll_out(policy, FRAMES) - roll_out(VLAPolicy.from_pretrained(plain), FRAMES)).max() > 1e-4


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


def watched(policy: VLAPolicy, measured: Any) -> tuple[Any, Any]:
    """Actions (frames, chunk, k), and what the fusion was fed with of each newest frame (frames, width)."""
    seen: list[Tensor] = []

    def hook(_: nn.Module, arguments: Any) -> None:
        # One frame's, or the window's that ends with it.
        newest = [arguments[0][name].flatten(0, -2)[-1] for name in policy.config.features]
        seen.append(torch.cat(newest).double())

    assert policy.model.fusion is not None
    handle = policy.model.fusion.register_forward_pre_hook(hook)
    actions = np.concatenate([roll_out(policy, run) for run in measured])
    handle.remove()
    return actions, torch.stack(seen).numpy()
