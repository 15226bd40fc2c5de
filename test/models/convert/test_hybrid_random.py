import zipfile
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.progress import Progress
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, Kosmos2Config, Kosmos2ForConditionalGeneration, Kosmos2Model

from mobile_vla_models.benchmark.simple_clip_lstm import SimpleCLIPLSTM, random_inputs
from mobile_vla_models.convert import hybrid_random
from mobile_vla_models.convert.hybrid_layout import (
    FULL_SIZE,
    LANGUAGE_HEAD,
    WORDS,
    HybridLayout,
    MlpLinear,
    MlpNorm,
    small,
)
from mobile_vla_models.convert.hybrid_random import write_random_hybrid
from mobile_vla_models.errors import ConversionError

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """A small checkpoint; each kind is written once."""
    folder = tmp_path_factory.mktemp("hybrid")
    paths: dict[str, Path] = {}

    def write(layout: HybridLayout, seed: int = 0) -> Path:
        key = f"{seed} {layout}"
        if key not in paths:
            paths[key] = folder / f"{len(paths)}.pth"
            write_random_hybrid(paths[key], layout, seed, Progress(disable=True))
        return paths[key]

    return write


def load(path: Path) -> dict[str, Any]:
    with torch.serialization.safe_globals([Namespace]):
        document: dict[str, Any] = torch.load(path, weights_only=True)
    return document


def test_full_size_has_the_parameters_of_the_real_checkpoint():
    module = FULL_SIZE.module()
    assert all(tensor.is_meta for tensor in module.state_dict().values())
    assert sum(parameter.numel() for parameter in module.parameters()) == 1_859_579_651
    assert sum(parameter.numel() for parameter in module.kosmos_model.parameters()) == 1_664_485_376
    assert sum(parameter.numel() for parameter in module.clip_model.parameters()) == 151_277_313


def test_full_size_has_the_names_and_shapes_of_the_real_checkpoint():
    shapes = {name: tuple(tensor.shape) for name, tensor in FULL_SIZE.module().state_dict().items()}
    heads = {name: shape for name, shape in shapes.items() if name.startswith("actions.mlp.")}
    assert heads == {
        "actions.mlp.0.weight": (512, 1024),
        "actions.mlp.0.bias": (512,),
        "actions.mlp.1.weight": (512,),
        "actions.mlp.1.bias": (512,),
        "actions.mlp.4.weight": (512, 512),
        "actions.mlp.4.bias": (512,),
        "actions.mlp.5.weight": (512,),
        "actions.mlp.5.bias": (512,),
        "actions.mlp.8.weight": (2, 512),
        "actions.mlp.8.bias": (2,),
    }
    assert shapes["feature_fusion.weight"] == (2048, 2560)
    assert shapes["rnn.weight_ih_l0"] == (4096, 2048)
    assert shapes["rnn.weight_hh_l3"] == (4096, 1024)
    assert shapes[WORDS] == (65037, 2048)
    assert shapes["kosmos_model.image_to_text_projection.latent_query"] == (64, 2048)
    assert shapes["clip_model.logit_scale"] == ()
    assert LANGUAGE_HEAD not in shapes
    parts = list(dict.fromkeys(name.split(".")[0] for name in shapes))
    assert parts == ["kosmos_model", "clip_model", "feature_fusion", "rnn", "actions"]


def test_small_is_a_sixteenth_of_the_full_size_in_every_width():
    full, tiny = FULL_SIZE.module().state_dict(), small().module().state_dict()
    for name, dimension in (
        (WORDS, 1),
        ("kosmos_model.image_to_text_projection.dense.weight", 0),
        ("kosmos_model.vision_model.model.pre_layrnorm.weight", 0),
        ("kosmos_model.text_model.model.layers.1.ffn.fc1.weight", 0),
        ("clip_model.vision_model.pre_layrnorm.weight", 0),
        ("clip_model.text_model.final_layer_norm.weight", 0),
        ("clip_model.text_projection.weight", 0),
        ("clip_model.visual_projection.weight", 0),
        ("feature_fusion.weight", 0),
        ("feature_fusion.weight", 1),
        ("rnn.weight_hh_l3", 1),
        ("actions.mlp.4.weight", 1),
    ):
        assert full[name].shape[dimension] == 16 * tiny[name].shape[dimension], name
    of_mlp = {name for name in full if name.startswith(("rnn.", "actions."))}
    assert of_mlp == {name for name in tiny if name.startswith(("rnn.", "actions."))}


def test_the_file_has_the_parts_of_the_real_checkpoint(written: Write):
    layout = small()
    document = load(written(layout))
    assert list(document) == ["epoch", "model_state_dict", "optimizer_state_dict", "val_mae", "args"]
    assert isinstance(document["args"], Namespace)
    state, expected = document["model_state_dict"], layout.module().state_dict()
    assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in expected.items()}
    assert list(state) == list(expected)
    assert state._metadata == expected._metadata
    for name, tensor in state.items():
        assert tensor.dtype == torch.float32, name
        assert tensor.isfinite().all(), name


def test_a_plain_read_of_the_archive_finds_its_checksums_right(written: Write):
    with zipfile.ZipFile(written(small())) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) > 100


def test_torch_refuses_it_where_a_namespace_is_not_allowed(written: Write):
    with pytest.raises(Exception, match=r"argparse\.Namespace"):
        torch.load(written(small()), weights_only=True)


def test_transformers_load_their_parts_strictly(written: Write):
    layout = small(language_head="copied")
    state = load(written(layout))["model_state_dict"]

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}

    kosmos = part("kosmos_model.")
    Kosmos2ForConditionalGeneration(Kosmos2Config(**layout.kosmos)).load_state_dict(kosmos, strict=True)
    del kosmos["text_model.lm_head.weight"]
    Kosmos2Model(Kosmos2Config(**layout.kosmos)).load_state_dict(kosmos, strict=True)
    CLIPModel(CLIPConfig(**layout.clip)).load_state_dict(part("clip_model."), strict=True)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_language_head_is_absent_tied_or_copied(written: Write, prefix: str):
    sizes = {}
    for kind in ("none", "tied", "copied"):
        path = written(small(language_head=kind, prefix=prefix))
        sizes[kind] = path.stat().st_size
        state = load(path)["model_state_dict"]
        assert all(name.startswith(prefix) for name in state)
        words, head = state[prefix + WORDS], state.get(prefix + LANGUAGE_HEAD)
        if kind == "none":
            assert head is None
            continue
        assert torch.equal(words, head)
        assert (words.untyped_storage().data_ptr() == head.untyped_storage().data_ptr()) == (kind == "tied")
        assert list(state).index(prefix + LANGUAGE_HEAD) < list(state).index(
            f"{prefix}kosmos_model.vision_model.model.embeddings.class_embedding"
        )
    embeddings = 4 * 300 * 128
    assert sizes["tied"] - sizes["none"] < 4096
    assert embeddings <= sizes["copied"] - sizes["tied"] < embeddings + 4096


def test_the_moments_are_those_of_adam_over_fusion_lstm_and_mlp(written: Write):
    layout = small()
    module = layout.module().to_empty(device="cpu")
    trained = [*module.feature_fusion.parameters(), *module.rnn.parameters(), *module.actions.parameters()]
    saved = load(written(layout))["optimizer_state_dict"]
    for parameter in trained:
        parameter.data.zero_()
    adam = torch.optim.Adam(trained)
    sum(parameter.sum() for parameter in trained).backward()
    adam.step()
    real = adam.state_dict()
    assert saved["param_groups"] == real["param_groups"]
    assert list(saved["state"]) == list(real["state"])
    for index, moments in saved["state"].items():
        assert list(moments) == list(real["state"][index])
        for key, tensor in moments.items():
            assert tensor.shape == real["state"][index][key].shape
            assert tensor.dtype == real["state"][index][key].dtype
        assert (moments["exp_avg_sq"] >= 0).all()
        assert moments["exp_avg"].abs().max() > 0
    adam.load_state_dict(saved)


def test_without_moments_the_optimizer_has_not_stepped(written: Write):
    with_moments, without = written(small()), written(small(optimizer=False))
    assert load(without)["optimizer_state_dict"]["state"] == {}
    module = small().module()
    trained = (
        parameter for part in (module.feature_fusion, module.rnn, module.actions) for parameter in part.parameters()
    )
    moments = 8 * sum(parameter.numel() for parameter in trained)
    assert moments <= with_moments.stat().st_size - without.stat().st_size < moments + 40_000


def test_the_seed_alone_decides_the_values(tmp_path: Path, written: Write):
    first, again = written(small()), tmp_path / "again.pth"
    write_random_hybrid(again, small(), 0, Progress(disable=True))
    assert first.read_bytes() == again.read_bytes()
    state, other = load(first)["model_state_dict"], load(written(small(), seed=1))["model_state_dict"]
    same = [name for name in state if torch.equal(state[name], other[name])]
    assert same == ["clip_model.logit_scale"]


def test_no_tensor_repeats_another(written: Write):
    state = load(written(small()))["model_state_dict"]
    beginnings = {tuple(tensor.flatten()[:2].tolist()) for tensor in state.values()}
    assert len(beginnings) == len(state)
    words = state[WORDS]
    assert len({tuple(row[:2].tolist()) for row in words}) == len(words)


def test_values_are_as_after_an_initialisation(written: Write):
    state = load(written(small()))["model_state_dict"]
    assert state["clip_model.logit_scale"].item() == pytest.approx(2.6592)
    for name in ("actions.mlp.1.weight", "kosmos_model.text_model.model.layer_norm.weight"):
        assert state[name].mean() == pytest.approx(1.0, abs=0.02), name
        assert 0.01 < state[name].std() < 0.03, name
    for name, std in (
        ("kosmos_model.text_model.model.layers.1.self_attn.q_proj.weight", 128**-0.5),
        ("kosmos_model.text_model.model.layers.1.ffn.fc2.weight", 512**-0.5),
        ("kosmos_model.vision_model.model.embeddings.patch_embedding.weight", (3 * 7 * 7) ** -0.5),
        ("kosmos_model.image_to_text_projection.latent_query", 1.0),
        ("feature_fusion.weight", 160**-0.5),
        (WORDS, 128**-0.5),
    ):
        assert state[name].std().item() == pytest.approx(std, rel=0.1), name
        assert abs(state[name].mean().item()) < 0.1 * std, name
    assert state["rnn.weight_hh_l3"].abs().max().item() == pytest.approx(4 * 64**-0.5, rel=0.01)


def test_a_tensor_of_several_chunks_continues_its_numbers(
    tmp_path: Path, written: Write, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hybrid_random, "_CHUNK", 1 << 12)
    write_random_hybrid(tmp_path / "chunks.pth", small(), 0, Progress(disable=True))
    whole = load(written(small()))["model_state_dict"]
    chunks = load(tmp_path / "chunks.pth")["model_state_dict"]
    assert whole[WORDS].numel() > 2 << 12
    for name, tensor in chunks.items():
        assert torch.equal(tensor, whole[name]), name


def test_progress_ends_at_the_bytes_of_the_tensors(tmp_path: Path):
    progress = Progress(disable=True)
    write_random_hybrid(tmp_path / "a.pth", small(language_head="copied"), 0, progress)
    drawing, writing = progress.tasks
    assert drawing.completed == drawing.total
    assert writing.completed == (tmp_path / "a.pth").stat().st_size
    assert writing.total == drawing.total


def test_nothing_is_left_beside_the_file_and_an_old_one_is_replaced(tmp_path: Path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"old")
    write_random_hybrid(path, small(), 0, Progress(disable=True))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pth"]
    assert load(path)["epoch"] == 0


def test_an_unfinished_file_does_not_replace_an_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.pth"
    path.write_bytes(b"old")

    def fail(document: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(ConversionError, match=r"a\.pth: not written .*No space left"):
        write_random_hybrid(path, small(), 0, Progress(disable=True))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pth"]


def test_a_disk_too_full_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hybrid_random.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ConversionError, match=r"takes [\d,]+ bytes in .* 1,000 are free"):
        write_random_hybrid(tmp_path / "a.pth", small(), 0, Progress(disable=True))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConversionError, match=r"missing.* is no directory"):
        write_random_hybrid(tmp_path / "missing" / "a.pth", small(), 0, Progress(disable=True))


@pytest.mark.parametrize(
    ("mlp", "said"),
    [
        ((MlpLinear(64, 32), None, MlpLinear(16, 2)), "16 inputs after 32 outputs"),
        ((MlpLinear(48, 2),), "48 inputs after 64 outputs"),
        ((MlpLinear(64, 32), MlpNorm(16), None, MlpLinear(32, 2)), "16 inputs after 32 outputs"),
        ((MlpLinear(64, 2), None), "expected to end in a linear layer"),
        ((), "expected to end in a linear layer"),
    ],
)
def test_a_head_whose_widths_do_not_fit_is_refused(mlp: Any, said: str):
    with pytest.raises(ConversionError, match=said):
        replace(small(), mlp=mlp)


INPUTS = (
    "kosmos_text:mean",
    "kosmos_image:mean",
    "kosmos_vision",
    "clip_image_pooled",
    "clip_text_pooled",
    "clip_image",
    "clip_text:unit",
)
ALL_FEATURES = small(fusion_inputs=128 + 128 + 64 + 48 + 32 + 32 + 32)


@pytest.fixture
def reference(written: Write) -> SimpleCLIPLSTM:
    return SimpleCLIPLSTM(written(ALL_FEATURES), ALL_FEATURES, inputs=INPUTS, activation="relu", final_tanh=True)


@pytest.mark.parametrize("argument", ["pixel_values", "input_ids", "clip_pixel_values", "clip_input_ids"])
def test_the_action_depends_on_pictures_and_words(reference: SimpleCLIPLSTM, argument: str):
    inputs = random_inputs(ALL_FEATURES, seed=0, frames=3)
    others = {**inputs, argument: random_inputs(ALL_FEATURES, seed=1, frames=3)[argument]}
    action, other = reference(**inputs), reference(**others)
    assert action.shape == (2,)
    assert action.isfinite().all()
    assert (action.abs() < 1).all()
    assert ((action - other).abs() > 1e-3).any()


@pytest.mark.parametrize("argument", ["pixel_values", "input_ids", "clip_pixel_values", "clip_input_ids"])
def test_each_feature_depends_on_what_it_is_made_of_and_on_nothing_else(reference: SimpleCLIPLSTM, argument: str):
    inputs = random_inputs(ALL_FEATURES, seed=0, frames=2)
    others = {**inputs, argument: random_inputs(ALL_FEATURES, seed=1, frames=2)[argument]}
    sources = {
        "kosmos_text:mean": {"pixel_values", "input_ids"},
        "kosmos_text:last": {"pixel_values", "input_ids"},
        "kosmos_text:max": {"pixel_values", "input_ids"},
        "kosmos_text:first": set(),  # causal: the first token sees but itself
        "clip_image": {"clip_pixel_values"},
        "clip_text": {"clip_input_ids"},
        "kosmos_vision": {"pixel_values"},
    }
    sources |= {f"kosmos_image:{pool}": {"pixel_values"} for pool in ("mean", "first", "last", "max")}
    sources |= {f"{name}{end}": sources[name] for name in ("clip_image", "clip_text") for end in ("_pooled", ":unit")}
    features, changed = reference.features(**inputs), reference.features(**others)
    assert features.keys() == sources.keys()
    for name, feature in features.items():
        difference = (feature - changed[name]).norm() / feature.norm()
        assert (difference > 0.1) == (argument in sources[name]), name
        assert (difference == 0.0) == (argument not in sources[name]), name


def test_the_features_are_those_of_transformers(reference: SimpleCLIPLSTM):
    inputs = random_inputs(ALL_FEATURES, seed=3, frames=2)
    features = reference.features(**inputs)
    with torch.no_grad():
        clip = reference.clip_model(
            input_ids=inputs["clip_input_ids"].expand(2, -1), pixel_values=inputs["clip_pixel_values"]
        )
    torch.testing.assert_close(features["clip_image:unit"], clip.image_embeds)
    torch.testing.assert_close(features["clip_text:unit"], clip.text_embeds)
    assert {name: value.shape[1] for name, value in features.items() if name in INPUTS} == dict(
        zip(INPUTS, (128, 128, 64, 48, 32, 32, 32), strict=True)
    )


def test_the_picture_reaches_the_text_where_the_mask_says(reference: SimpleCLIPLSTM):
    inputs = random_inputs(ALL_FEATURES, seed=0, frames=1)
    mask, ids = inputs["image_position_mask"], inputs["input_ids"]
    assert mask.tolist() == [[False] + [True] * 4 + [False] * 6]
    moved = {**inputs, "image_position_mask": mask.roll(1)}
    assert not torch.equal(
        reference.features(**inputs)["kosmos_text:mean"], reference.features(**moved)["kosmos_text:mean"]
    )
    # What stands under the picture does not count.
    under = {**inputs, "input_ids": torch.where(mask, 7, ids)}
    torch.testing.assert_close(reference(**inputs), reference(**under))


def test_the_window_is_run_in_time_and_the_last_frame_answers(reference: SimpleCLIPLSTM):
    inputs = random_inputs(ALL_FEATURES, seed=0, frames=3)
    backwards = {**inputs, **{name: inputs[name].flip(0) for name in ("pixel_values", "clip_pixel_values")}}
    last = {**inputs, **{name: inputs[name][2:] for name in ("pixel_values", "clip_pixel_values")}}
    assert (reference(**inputs) - reference(**backwards)).abs().max() > 1e-3
    assert (reference(**inputs) - reference(**last)).abs().max() > 1e-3


def test_the_action_is_what_the_numbers_give(written: Write, reference: SimpleCLIPLSTM):
    """Fusion, LSTM and head once more, by their formulas."""
    inputs = random_inputs(ALL_FEATURES, seed=0, frames=2)
    state = load(written(ALL_FEATURES))["model_state_dict"]
    features = reference.features(**inputs)

    def linear(value: Tensor, name: str) -> Tensor:
        return value @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(value: Tensor, name: str) -> Tensor:
        return torch.nn.functional.layer_norm(value, value.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    steps = list(torch.tanh(linear(torch.cat([features[name] for name in INPUTS], dim=-1), "feature_fusion")))
    for layer in range(4):
        hidden, cell = torch.zeros(64), torch.zeros(64)
        for index, value in enumerate(steps):
            gates = state[f"rnn.weight_ih_l{layer}"] @ value + state[f"rnn.bias_ih_l{layer}"]
            gates = gates + state[f"rnn.weight_hh_l{layer}"] @ hidden + state[f"rnn.bias_hh_l{layer}"]
            let_in, forget, new, out = gates.chunk(4)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(let_in) * torch.tanh(new)
            hidden = torch.sigmoid(out) * torch.tanh(cell)
            steps[index] = hidden
    value = torch.relu(norm(linear(steps[-1], "actions.mlp.0"), "actions.mlp.1"))
    value = torch.relu(norm(linear(value, "actions.mlp.4"), "actions.mlp.5"))
    expected = linear(value, "actions.mlp.8")

    def action(final_tanh: bool, scale: float) -> Tensor:
        model = SimpleCLIPLSTM(
            written(ALL_FEATURES),
            ALL_FEATURES,
            inputs=INPUTS,
            activation="relu",
            fusion_activation="tanh",
            final_tanh=final_tanh,
            scale=scale,
        )
        result: Tensor = model(**inputs)
        return result

    torch.testing.assert_close(action(final_tanh=False, scale=1.0), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(action(final_tanh=True, scale=2.0), 2 * torch.tanh(expected), rtol=1e-4, atol=1e-5)


def test_the_reference_loads_all_of_the_file_or_nothing(tmp_path: Path, written: Write):
    layout = small(prefix="module.", language_head="tied")
    document = load(written(layout))

    def build(layout: HybridLayout, **changes: Tensor | None) -> SimpleCLIPLSTM:
        state = {**document["model_state_dict"], **changes}
        kept = {name: tensor for name, tensor in state.items() if tensor is not None}
        torch.save({"model_state_dict": kept}, tmp_path / "changed.pth")
        inputs = ("kosmos_text:last", "clip_text")
        return SimpleCLIPLSTM(tmp_path / "changed.pth", layout, inputs=inputs, activation="gelu", final_tanh=False)

    assert build(layout)(**random_inputs(layout, seed=0, frames=2)).isfinite().all()
    with pytest.raises(RuntimeError, match=r"Missing key.*latent_query"):
        build(layout, **{"module.kosmos_model.image_to_text_projection.latent_query": None})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*clip_model\.other"):
        build(layout, **{"module.clip_model.other": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        build(layout, **{"module.rnn.weight_ih_l1": torch.zeros(256, 65)})
    with pytest.raises(ValueError, match="language_head 'none'"):
        build(replace(layout, language_head="none"))
    with pytest.raises(ValueError, match="not all names begin"):
        build(layout, other=torch.zeros(1))


@pytest.mark.parametrize(
    "mlp",
    [
        (MlpLinear(64, 32), MlpLinear(32, 2)),
        (MlpLinear(64, 32), None, MlpNorm(32), None, MlpLinear(32, 2)),
    ],
)
def test_the_reference_refuses_a_head_whose_activations_are_not_plain(written: Write, mlp: Any):
    layout = replace(small(), mlp=mlp)
    with pytest.raises(ValueError, match="expected 1 of each"):
        SimpleCLIPLSTM(
            written(layout), layout, inputs=("kosmos_text:last", "clip_text"), activation="relu", final_tanh=False
        )
