"""Weights are in memory, or in their file until they are used; checked by name, they can be changed all the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_document, tiny_policy
from torch import Tensor

from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.errors import PolicyDirectoryError
from mobile_vla_models.memory.pages import resident_bytes
from mobile_vla_models.modeling import VLAModel
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.precision import uniform
from mobile_vla_models.quantization.linear import QuantisedLinear
from mobile_vla_models.weights import change_dtype, empty_model, fill, give_back, load_weights, stored_tensors
from policies import SENTENCES, build, document, pictures

FRAME = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
WORDS = 60_000
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are counted by Linux")


def tiny_config() -> PolicyConfig:
    return PolicyConfig.model_validate(tiny_document())


@pytest.fixture
def weights(policy_dir: Path) -> Path:
    return policy_dir / "model.safetensors"


@pytest.fixture(scope="module")
def many_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose word embeddings are 30 MB, of which a sentence needs a few rows."""
    content: Any = document("kosmos2", "lstm", "post")
    config = content["backbone"]["config"]
    text = {**config["text_config"], "vocab_size": WORDS, "embed_dim": 128}
    content["backbone"] = {**content["backbone"], "config": {**config, "text_config": text}}
    out = tmp_path_factory.mktemp("words") / "policy"
    build(content).save_pretrained(out, {}, "# many words\n")
    return out


@linux
def test_weights_stay_in_the_file_until_they_are_used(many_words: Path) -> None:
    policy = VLAPolicy.from_pretrained(many_words, weights="mapped")
    words = policy.model.backbone.word_embedding.weight
    assert words.nbytes == WORDS * 128 * 4
    # Loading looked at every number, and the golden vectors ran a sentence.
    assert resident_bytes(words) < words.nbytes / 20
    policy.step(pictures(policy.config, 1, 1)[0, 0, 0], SENTENCES[0])
    assert resident_bytes(words) < words.nbytes / 20


@linux
def test_weights_in_memory_are_all_of_them(many_words: Path) -> None:
    policy = VLAPolicy.from_pretrained(many_words, weights="memory")
    policy.step(pictures(policy.config, 1, 1)[0, 0, 0], SENTENCES[0])
    tensors = stored_tensors(policy.model).values()
    assert sum(map(resident_bytes, tensors)) == sum(tensor.nbytes for tensor in tensors)
    words, mapped = policy.model.backbone.word_embedding.weight, empty_model(policy.config)
    load_weights(mapped, many_words / "model.safetensors")
    assert torch.equal(words, mapped.backbone.word_embedding.weight)


@linux
def test_loading_looks_at_every_number_and_keeps_none_in_memory(many_words: Path) -> None:
    model = empty_model(PolicyConfig.model_validate_json((many_words / "config.json").read_text()))
    load_weights(model, many_words / "model.safetensors")
    words = model.backbone.word_embedding.weight
    assert resident_bytes(words) < words.nbytes / 20


@linux
def test_words_are_given_back_when_an_instruction_is_encoded(many_words: Path) -> None:
    policy = VLAPolicy.from_pretrained(many_words, weights="mapped")
    words = policy.model.backbone.word_embedding.weight
    total = float(words.detach().sum())
    assert resident_bytes(words) > 0.9 * words.nbytes
    frame = pictures(policy.config, 1, 1)[0, 0, 0]
    policy.step(frame, SENTENCES[0])
    assert resident_bytes(words) < words.nbytes / 20
    assert float(words.detach().sum()) == total


@linux
def test_what_was_changed_is_not_given_back(many_words: Path) -> None:
    policy = VLAPolicy.from_pretrained(many_words, weights="mapped")
    words = policy.model.backbone.word_embedding.weight
    stored = words[5].detach().clone()
    with torch.no_grad():
        words[5] += 1.0
    changed = words[5].detach().clone()
    give_back(policy.model)
    policy.step(pictures(policy.config, 1, 1)[0, 0, 0], SENTENCES[0])
    assert torch.equal(words[5], changed)
    assert torch.equal(VLAPolicy.from_pretrained(many_words).model.backbone.word_embedding.weight[5], stored)


def test_a_step_of_training_changes_the_weights_and_not_the_file(policy_dir: Path, weights: Path) -> None:
    before = weights.read_bytes()
    policy = VLAPolicy.from_pretrained(policy_dir)
    assert all(parameter.requires_grad for parameter in policy.model.parameters())
    start = policy.step(FRAME, "stop").continuous
    policy.reset()
    optimizer = torch.optim.SGD(policy.model.parameters(), lr=0.1)
    assert policy.model.head is not None
    states, _ = policy.model.head(torch.randn(1, 2, 16))
    states.square().sum().backward()
    optimizer.step()
    changed = {name: tensor.detach().clone() for name, tensor in policy.model.named_parameters()}
    give_back(policy.model)
    after = policy.step(FRAME, "stop").continuous
    assert np.abs(after - start).max() > 1e-4
    for name, tensor in policy.model.named_parameters():
        assert torch.equal(tensor, changed[name]), name
    assert weights.read_bytes() == before
    np.testing.assert_array_equal(VLAPolicy.from_pretrained(policy_dir).step(FRAME, "stop").continuous, start)


@pytest.mark.parametrize("after", [False, True])
def test_a_tied_language_head_stays_tied(tmp_path: Path, after: bool) -> None:
    policy = build(document("kosmos2", "discrete", "post"))
    policy.save_pretrained(tmp_path / "policy", {}, "# speaks\n")
    loaded = VLAPolicy.from_pretrained(tmp_path / "policy")
    if after:
        change_dtype(loaded.model, torch.bfloat16)
    words = loaded.model.backbone.word_embedding.weight
    head = loaded.model.backbone.model.get_output_embeddings().weight
    assert head is words
    assert sum(tensor is words for tensor in stored_tensors(loaded.model).values()) == 1
    stored = [name for name in load_file(tmp_path / "policy" / "model.safetensors") if "lm_head" in name]
    assert not stored
    assert torch.equal(words.float(), policy.model.backbone.word_embedding.weight.to(words.dtype).float())
    with torch.no_grad():
        words[7] = 2.0
    assert float(head[7].detach().min()) == 2.0


def changed(path: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


NAME = "head.continuous.mlp.0.weight"


def _rename(tensors: dict[str, Tensor]) -> None:
    tensors["head.mystery"] = tensors.pop(NAME)


def _nan(tensors: dict[str, Tensor]) -> None:
    tensors[NAME][1, 2] = float("nan")


def _infinite(tensors: dict[str, Tensor]) -> None:
    tensors[NAME][1, 2] = float("-inf")


def _half(tensors: dict[str, Tensor]) -> None:
    tensors[NAME] = tensors[NAME].half()


def _narrow(tensors: dict[str, Tensor]) -> None:
    tensors[NAME] = tensors[NAME][:, :3].contiguous()


def _turned(tensors: dict[str, Tensor]) -> None:
    tensors["head.rnn.weight_ih_l0"] = tensors["head.rnn.weight_ih_l0"].T.contiguous()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_rename, rf"missing {NAME} \(16, 16\); unknown head.mystery \(16, 16\)"),
        (_half, rf"{NAME} is torch.float16, expected torch.float32"),
        (_narrow, rf"{NAME} has shape \(16, 3\), expected \(16, 16\)"),
        (_turned, r"head.rnn.weight_ih_l0 has shape \(16, 64\), expected \(64, 16\)"),
        (_nan, rf"{NAME} is not finite"),
        (_infinite, rf"{NAME} is not finite"),
    ],
)
def test_a_file_of_other_tensors_is_refused(
    policy_dir: Path, weights: Path, change: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    changed(weights, change)
    with pytest.raises(PolicyDirectoryError, match=message):
        VLAPolicy.from_pretrained(policy_dir)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 100])
def test_a_file_of_no_tensors_is_refused(policy_dir: Path, weights: Path, content: bytes) -> None:
    weights.write_bytes(content)
    with pytest.raises(PolicyDirectoryError, match=r"model\.safetensors"):
        VLAPolicy.from_pretrained(policy_dir)


def test_a_file_that_was_cut_off_is_refused(policy_dir: Path, weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(PolicyDirectoryError, match=r"model\.safetensors"):
        VLAPolicy.from_pretrained(policy_dir)


def test_an_empty_model_takes_no_memory_and_has_its_buffers() -> None:
    model = empty_model(tiny_config())
    assert all(tensor.is_meta for tensor in stored_tensors(model).values())
    whole = tiny_policy().model
    own = {name: buffer for name, buffer in whole.named_buffers() if name not in stored_tensors(whole)}
    found = dict(model.named_buffers())
    assert own
    for name, buffer in own.items():
        assert torch.equal(found[name], buffer), name


def test_filling_is_the_same_as_torchs_own_loading(weights: Path) -> None:
    model, other = empty_model(tiny_config()), VLAModel(tiny_config())
    load_weights(model, weights)
    other.load_state_dict(load_file(weights), strict=False)
    for name, tensor in stored_tensors(other).items():
        assert torch.equal(stored_tensors(model)[name], tensor), name
    assert model.head is not None
    features = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(0))
    # The recurrent layers keep a list of their weights beside the parameters.
    assert torch.equal(model.eval().head(features)[0], other.eval().head(features)[0])


def test_other_dtypes_are_copied_where_files_are_of_another_precision(weights: Path) -> None:
    from mobile_vla_models.checkpoint.reader import read_checkpoint, state_dict

    half = weights.with_name("half.safetensors")
    save_file({name: tensor.half() for name, tensor in load_file(weights).items()}, half)
    model = empty_model(tiny_config())
    fill(model, state_dict(read_checkpoint(half))[0])
    for name, tensor in stored_tensors(model).items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, load_file(half)[name].float()), name


def test_another_dtype_leaves_integers_and_scales_as_they_are() -> None:
    content: Any = tiny_document()
    content["precision"] = uniform("int8").model_dump()
    model = empty_model(PolicyConfig.model_validate(content))
    layers = {name for name, module in model.named_modules() if isinstance(module, QuantisedLinear)}
    assert layers
    change_dtype(model, torch.float16)
    for name, tensor in model.state_dict().items():
        owner, _, key = name.rpartition(".")
        if owner in layers and key != "bias":
            assert tensor.dtype == {"weight": torch.int8, "scale": torch.float32}[key], name
        else:
            assert tensor.dtype == torch.float16, name


def test_stored_tensors_are_the_state_with_tied_ones_once() -> None:
    model = build(document("kosmos2", "discrete", "post")).model
    state, stored = model.state_dict(keep_vars=True), stored_tensors(model)
    left_out = state.keys() - stored.keys()
    assert left_out
    assert all(any(state[name] is tensor for tensor in stored.values()) for name in left_out)
    assert len({id(tensor) for tensor in stored.values()}) == len(stored)
