import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from setups import (
    ACTION,
    DISCRETE,
    LORA,
    build,
    document,
    full_document,
    gradients,
    move_adapters,
    tasks,
    trainable,
    training,
)
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mobile_vla_models.errors import TrainingConfigError
from mobile_vla_models.modeling import VLAModel
from mobile_vla_models.training.groups import ADDED, decoder_blocks, parameter_groups
from mobile_vla_models.training.tasks import training_loss
from mobile_vla_models.training.trainable import merge_lora, set_trainable, trainable_names
from mobile_vla_models.training.verify import random_action_batch, random_losses
from mobile_vla_models.weights import load_weights, stored_tensors


def outputs(model: VLAModel) -> tuple[Tensor, Tensor]:
    model.eval()
    torch.manual_seed(0)
    batch = random_action_batch(model)
    with torch.no_grad():
        continuous, binary = model(batch.observation, batch.instruction)
    return continuous, binary


# ---- which groups train ----


def test_frozen_but_for_what_the_policy_adds() -> None:
    model = build(full_document())
    set_trainable(model, trainable())
    groups = parameter_groups(model)
    assert training(model) == {name for group in ADDED for name in groups[group]}


@pytest.mark.parametrize("switch", ["embeddings", "vision", "connector", "resampler", "clip"])
def test_each_switch_thaws_its_group_and_no_other(switch: Any) -> None:
    model = build(full_document())
    set_trainable(model, trainable())
    before = training(model)
    set_trainable(model, trainable(**{switch: True}))
    assert training(model) - before == parameter_groups(model)[switch].keys()


def test_an_untied_language_head_trains_alone() -> None:
    model = build(document("llava", language_head=True))
    set_trainable(model, trainable(language_head=True))
    assert {name for name in training(model) if "backbone" in name} == {"backbone.model.lm_head.weight"}


@pytest.mark.parametrize("family", ["kosmos2", "llava", "idefics", "qwen2_vl"])
def test_the_last_blocks_train_without_those_before_and_the_norm(family: str) -> None:
    model = build(document(family))
    set_trainable(model, trainable(decoder=1))
    first, last = decoder_blocks(model.backbone)
    assert all(parameter.requires_grad for parameter in last.parameters())
    assert not any(parameter.requires_grad for parameter in first.parameters())
    count = sum(parameter.requires_grad for parameter in parameter_groups(model)["decoder"].values())
    assert count == len(list(last.parameters()))


def test_all_of_the_decoder_has_its_final_norm() -> None:
    model = build()
    set_trainable(model, trainable(decoder="all"))
    assert parameter_groups(model)["decoder"].keys() <= training(model)
    assert "backbone.model.text_model.model.layer_norm.weight" in training(model)


def test_what_is_frozen_later_keeps_no_gradient_of_before() -> None:
    model = build()
    set_trainable(model, trainable(vision=True))
    random_losses(model, tasks(), 0)["loss"].backward()
    set_trainable(model, trainable())
    assert set(gradients(model)) <= training(model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder": 3}, "asks for the 3 last blocks, the model has 2"),
        ({"resampler": True}, "trainable.resampler is true, but the model has no resampler"),
        ({"clip": True}, "trainable.clip is true, but the model has no clip"),
        ({"language_head": True}, "the model has no language_head"),
    ],
)
def test_what_the_model_lacks_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingConfigError, match=message):
        set_trainable(build(), trainable(**changes))


def test_a_tied_language_head_is_refused_with_the_reason() -> None:
    with pytest.raises(TrainingConfigError, match="its language head is tied to the embeddings"):
        set_trainable(build(document(language_head=True)), trainable(language_head=True))


def test_nothing_that_trains_is_refused() -> None:
    model = build(document(language_head=True, **DISCRETE))
    with pytest.raises(TrainingConfigError, match="nothing trains"):
        set_trainable(model, trainable())


@pytest.mark.parametrize("decoder", [True, 0, -1, "1", "some", 1.5])
def test_a_decoder_is_all_none_or_a_count(decoder: Any) -> None:
    with pytest.raises(ValidationError, match="decoder"):
        trainable(decoder=decoder)


def test_unknown_and_missing_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="train_vision"):
        trainable(train_vision=True)
    with pytest.raises(ValidationError, match="Field required"):
        type(trainable()).model_validate({"decoder": "all"})


# ---- LoRA ----


def test_lora_begins_as_no_change() -> None:
    model = build()
    before = outputs(model)
    set_trainable(model, trainable(lora={**LORA, "groups": ["decoder", "vision", "connector"]}))
    assert all(map(torch.equal, before, outputs(model)))


def test_lora_has_two_matrices_for_each_linear_layer_and_no_second_copy_of_anything() -> None:
    model = build()
    before = {id(parameter) for parameter in model.parameters()}
    keys = set(model.state_dict())
    linear = [
        name
        for name, module in model.backbone.text_tower.named_modules()
        if isinstance(module, nn.Linear) and name.startswith("layers.")
    ]
    set_trainable(model, trainable(lora=LORA))
    state = model.state_dict(keep_vars=True)
    assert len({id(tensor) for tensor in state.values()}) == len(state) == len(keys) + 2 * len(linear)
    assert {name.replace(".base_layer", "") for name in state if "lora_" not in name} == keys
    assert before <= {id(parameter) for parameter in model.parameters()}
    assert training(model) == {name for name in state if "lora_" in name or name.startswith(("head", "action_tokens"))}


@pytest.mark.parametrize("family", ["kosmos2", "paligemma", "idefics"])
def test_what_else_is_to_train_trains_beside_lora(family: str) -> None:
    """The peer froze its vision tower and projection when it put adapters on the decoder."""
    model = build(document(family))
    set_trainable(model, trainable(lora=LORA, vision=True, connector=True, embeddings=True))
    groups = parameter_groups(model)
    for group in ("vision", "connector", "embeddings", "lora"):
        assert groups[group].keys() <= training(model)  # type: ignore[index]
    assert not groups["decoder"].keys() & training(model)


@pytest.mark.parametrize("group", ["decoder", "vision", "connector"])
def test_lora_is_on_the_groups_that_are_named(group: Any) -> None:
    model = build(document("llava"))
    set_trainable(model, trainable(lora={**LORA, "groups": [group]}))
    groups = parameter_groups(model)
    adapted = {name for name in groups[group] if "base_layer.weight" in name}
    assert len(groups["lora"]) == 2 * len(adapted) > 0


def test_lora_leaves_alone_what_is_read_and_never_called() -> None:
    """torch's MultiheadAttention takes its output projection's weight by itself."""
    model = build(document("paligemma"))
    assert any(isinstance(module, nn.MultiheadAttention) for module in model.backbone.vision_tower.modules())
    set_trainable(model, trainable(lora={**LORA, "groups": ["vision"]}))
    assert not [name for name in parameter_groups(model)["lora"] if ".attention.out_proj" in name]


def test_lora_is_on_conv1d_too() -> None:
    model = build()
    layer: Any = decoder_blocks(model.backbone)[0]
    conv = Conv1D(layer.ffn.fc1.out_features, layer.ffn.fc1.in_features)
    layer.ffn.fc1 = conv
    with pytest.warns(UserWarning, match="fan_in_fan_out"):
        set_trainable(model, trainable(lora=LORA))
    move_adapters(model)
    before = outputs(model)
    merge_lora(model)
    assert layer.ffn.fc1 is conv
    for expected, found in zip(before, outputs(model), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["kosmos2", "idefics", "qwen3_vl"])
def test_merged_lora_gives_the_same_outputs_under_the_names_of_a_model_that_never_had_it(
    family: str, tmp_path: Path
) -> None:
    made = document(family)
    model, plain = build(made), build(made)
    before = outputs(model)
    set_trainable(model, trainable(lora={**LORA, "groups": ["decoder", "vision", "connector"]}))
    move_adapters(model)
    adapted = outputs(model)
    assert (adapted[0] - before[0]).abs().max() > 1e-3
    merge_lora(model)
    for expected, found in zip(adapted, outputs(model), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [type(module) for module in model.modules()] == [type(module) for module in plain.modules()]
    assert not hasattr(model.backbone.model, "peft_config")
    save_file(stored_tensors(model), tmp_path / "weights.safetensors")
    load_weights(plain, tmp_path / "weights.safetensors")
    for expected, found in zip(outputs(model), outputs(plain), strict=True):
        assert torch.equal(found, expected)
    set_trainable(model, trainable(lora=LORA))  # a second round of adapters finds a plain model


def test_merging_leaves_what_trained_beside_the_adapters() -> None:
    model = build()
    set_trainable(model, trainable(lora=LORA, vision=True))
    before = {name for name in training(model) if "lora_" not in name}
    merge_lora(model)
    assert training(model) == before


def test_lora_on_what_trains_already_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"lora.groups names decoder, whose own weights train: 1"):
        trainable(decoder=1, lora=LORA)
    with pytest.raises(ValidationError, match=r"lora.groups names vision"):
        trainable(vision=True, lora={**LORA, "groups": ["decoder", "vision"]})


def test_lora_is_put_in_once_and_merged_once() -> None:
    model = build()
    with pytest.raises(ValueError, match="no LoRA adapters to merge"):
        merge_lora(model)
    set_trainable(model, trainable(lora=LORA))
    with pytest.raises(TrainingConfigError, match="has LoRA adapters already"):
        set_trainable(model, trainable())


def test_lora_on_a_group_without_linear_layers_is_refused() -> None:
    with pytest.raises(TrainingConfigError, match="connector, which has no linear layer"):
        set_trainable(build(document("gemma3")), trainable(lora={**LORA, "groups": ["connector"]}))


def test_without_peft_the_package_is_named_and_nothing_else_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    set_trainable(build(), trainable(decoder="all"))
    with pytest.raises(ModuleNotFoundError, match="pip install peft"):
        set_trainable(build(), trainable(lora=LORA))


# ---- gradient checkpointing ----


class SavedBytes:
    """Bytes of activations that a forward pass keeps for the backward pass, inputs of checkpointed blocks included."""

    def __init__(self, model: VLAModel) -> None:
        self._weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self._kept: dict[int, Tensor] = {}
        blocks = [*decoder_blocks(model.backbone), *_vision_blocks(model)]
        self._handles = [block.register_forward_pre_hook(self._keep_input, with_kwargs=True) for block in blocks]
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def __enter__(self) -> "SavedBytes":
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)
        for handle in self._handles:
            handle.remove()

    @property
    def total(self) -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in self._kept.values())

    def _keep(self, tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in self._weights:
            self._kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no address comes twice
        return tensor

    def _keep_input(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Tensor):
                self._keep(value)


def _vision_blocks(model: VLAModel) -> list[nn.Module]:
    return list(model.backbone.vision_tower.model.encoder.layers)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"decoder": "all", "embeddings": True, "vision": True, "connector": True},
        {"lora": LORA},
        {"lora": {**LORA, "groups": ["decoder", "vision"], "dropout": 0.2}},
        {},
    ],
    ids=["full", "lora", "lora on both towers, dropout", "frozen backbone"],
)
def test_checkpointing_gives_the_same_gradients(changes: dict[str, Any]) -> None:
    found = []
    for on in (False, True):
        torch.manual_seed(0)  # adapters are drawn from torch's global generator
        model = build().train()
        set_trainable(model, trainable(**changes, gradient_checkpointing=on))
        move_adapters(model)
        random_losses(model, tasks(), 0)["loss"].backward()
        found.append(gradients(model))
    plain, checkpointed = found
    assert plain.keys() == checkpointed.keys()
    assert "action_tokens" in plain  # through a frozen decoder behind frozen embeddings, too
    assert bool(plain["action_tokens"].any())
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("on", [False, True])
def test_checkpointed_blocks_are_computed_again_in_the_backward_pass(on: bool) -> None:
    model = build().train()
    set_trainable(model, trainable(decoder="all", vision=True, gradient_checkpointing=on))
    calls: list[nn.Module] = []
    inner = [block.self_attn for block in (*decoder_blocks(model.backbone), *_vision_blocks(model))]
    for module in inner:
        module.register_forward_hook(lambda module, args, output: calls.append(module))  # type: ignore[union-attr]
    loss = random_losses(model, tasks(), 0)["loss"]
    assert [calls.count(module) for module in inner] == [1] * 4
    loss.backward()
    assert [calls.count(module) for module in inner] == [2 if on else 1] * 4


def test_checkpointing_keeps_fewer_activations() -> None:
    totals = []
    for on in (False, True):
        model = build().train()
        set_trainable(model, trainable(decoder="all", vision=True, gradient_checkpointing=on))
        with SavedBytes(model) as saved:
            random_losses(model, tasks(), 0)["loss"].backward()
        totals.append(saved.total)
    assert totals[1] < 0.7 * totals[0], totals


def test_checkpointing_can_be_switched_off_and_is_off_in_evaluation() -> None:
    model = build().train()
    set_trainable(model, trainable(decoder="all", gradient_checkpointing=True))
    calls: list[int] = []
    decoder_blocks(model.backbone)[0].self_attn.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr, operator]
    model.eval()
    random_losses(model, tasks(), 0)["loss"].backward()
    assert len(calls) == 1
    model.train()
    set_trainable(model, trainable(decoder="all"))
    random_losses(model, tasks(), 0)["loss"].backward()
    assert len(calls) == 2


@pytest.mark.parametrize("family", ["llava", "idefics", "qwen2_vl"])
def test_checkpointing_leaves_no_hook_that_makes_embeddings_require_a_gradient(family: str) -> None:
    model = build(document(family)).train()
    set_trainable(model, trainable(gradient_checkpointing=True))
    assert not model.backbone.word_embedding(torch.tensor([[5]])).requires_grad
    random_losses(model, tasks(), 0)["loss"].backward()
    assert bool(gradients(model)["action_tokens"].any())


def test_checkpointing_that_a_model_does_not_support_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build()
    monkeypatch.setattr(type(model.backbone.model), "supports_gradient_checkpointing", False)
    with pytest.raises(TrainingConfigError, match="does not support"):
        set_trainable(model, trainable(gradient_checkpointing=True))


def test_checkpointing_without_effect_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the peer, whose flag reached the outermost module only."""

    def outermost_only(self: PreTrainedModel, enable: bool = True, **_: Any) -> None:
        self.gradient_checkpointing = enable

    monkeypatch.setattr(PreTrainedModel, "_set_gradient_checkpointing", outermost_only)
    with pytest.raises(TrainingConfigError, match="the decoder of Kosmos2ForConditionalGeneration does not support it"):
        set_trainable(build(), trainable(gradient_checkpointing=True))


def test_checkpointing_of_a_vision_tower_that_cannot_is_refused_if_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoder_only(self: Any, enable: bool = True, **_: Any) -> None:
        for block in self.text_model.model.layers:
            block.gradient_checkpointing = enable

    monkeypatch.setattr(PreTrainedModel, "_set_gradient_checkpointing", decoder_only)
    model = build()
    set_trainable(model, trainable(gradient_checkpointing=True))
    with pytest.raises(TrainingConfigError, match="the vision tower of Kosmos2ForConditionalGeneration does not"):
        set_trainable(model, trainable(vision=True, gradient_checkpointing=True))


# ---- Kosmos-2 frozen, with LoRA and an action token ----


def test_transformers_own_forward_writes_into_a_leaf_that_requires_a_gradient_and_fails() -> None:
    """The frozen embedding's output is a leaf; enable_input_require_grads makes it one that requires a gradient."""
    vlm = build(document(language_head=True)).backbone.model.requires_grad_(False)
    queries = vlm.config.latent_query_num
    inputs = {
        "pixel_values": torch.randn(1, 3, 28, 28),
        "input_ids": torch.arange(3, 12)[None],
        "image_embeds_position_mask": (torch.arange(9) < queries)[None],
    }
    vlm(**inputs)
    vlm.enable_input_require_grads()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        vlm(**inputs)


@pytest.mark.parametrize("hooked", [False, True])
def test_composed_sequences_train_an_action_token_and_adapters_on_the_frozen_backbone(hooked: bool) -> None:
    model = build().train()
    set_trainable(model, trainable(lora=LORA, gradient_checkpointing=True))
    if hooked:
        model.backbone.model.enable_input_require_grads()
    move_adapters(model)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    torch.manual_seed(0)
    batch = random_action_batch(model)
    losses = []
    for _ in range(3):
        loss = training_loss(model, {"action": batch}, tasks(action=ACTION))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[2] < losses[0]
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == trainable_names(model, trainable(lora=LORA))
