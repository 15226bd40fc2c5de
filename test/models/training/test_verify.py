from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from setups import (
    DISCRETE,
    FAMILIES,
    LORA,
    SPOKEN,
    build,
    document,
    full_document,
    gradients,
    tasks,
    trainable,
)
from torch import Tensor, nn
from typer.testing import CliRunner

from mobile_vla_models.errors import TrainingConfigError
from mobile_vla_models.modeling import VLAModel
from mobile_vla_models.training.groups import parameter_groups
from mobile_vla_models.training.tasks import TasksConfig
from mobile_vla_models.training.trainable import TrainableConfig, set_trainable
from mobile_vla_models.training.verify import (
    GradientReport,
    gradient_notes,
    gradient_table,
    read_verification_config,
    verify,
    verify_gradients,
)
from mobile_vla_ros.cli.program import app

CONFIGURATIONS = sorted((Path(__file__).parents[3] / "config" / "verify").glob("*.yaml"))


def check(model: VLAModel, config: TrainableConfig, of: TasksConfig | None = None) -> GradientReport:
    return verify_gradients(model, config, tasks() if of is None else of, seed=0)


def verdicts(report: GradientReport) -> dict[str, str]:
    return {group.name: group.verdict for group in report.groups}


def prepared(config: TrainableConfig, made: dict[str, Any] | None = None) -> VLAModel:
    model = build(made)
    set_trainable(model, config)
    return model


# ---- what is right passes ----


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_the_shipped_configurations_pass(path: Path) -> None:
    report = verify(path)
    assert report.failures == ()
    assert report.unused == report.zero == ()
    config = read_verification_config(path)
    trains = {group.name for group in report.groups if group.trainable}
    assert trains == {group.name for group in report.groups if group.verdict == "trains"}
    assert all(group.norm > 0.0 for group in report.groups if group.trainable)
    assert ("lora" in trains) == (config.trainable.lora is not None)


def test_there_is_a_configuration_for_each_case() -> None:
    assert [path.stem for path in CONFIGURATIONS] == [
        "co_training",
        "frozen_backbone_lora_action_token",
        "frozen_encoder_trainable_projector",
        "full_fine_tuning",
    ]


def test_only_the_projector_trains_between_a_frozen_encoder_and_a_frozen_decoder() -> None:
    report = verify(next(path for path in CONFIGURATIONS if "projector" in path.stem))
    assert [group.name for group in report.groups if group.trainable] == ["connector"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("history", ["post", "pre"])
def test_full_fine_tuning_of_every_family_passes(family: str, history: str) -> None:
    model = build(document(family, language_head=True, history=history))
    head = "language_head" in parameter_groups(model)
    config = trainable(decoder="all", embeddings=True, language_head=head, vision=True, connector=True)
    set_trainable(model, config)
    report = check(model, config, tasks(vision_language={"weight": 1.0}))
    assert report.failures == ()
    # What features are not taken from: a tower's last block or norm, its pooling head.
    assert all(".vision_" in name for name in report.unused)


def test_every_part_passes_together() -> None:
    made = full_document()
    config = trainable(decoder="all", embeddings=True, vision=True, connector=True, resampler=True, clip=True)
    report = check(prepared(config, made), config)
    assert report.failures == ()
    assert set(verdicts(report).values()) == {"trains"}


def test_lora_passes_though_its_first_matrix_has_no_gradient_at_the_first_step() -> None:
    config = trainable(lora=LORA)
    model = prepared(config)
    report = check(model, config)
    assert report.failures == report.zero == ()
    assert report.nudged
    assert all("lora_B" in name for name in report.nudged)


def test_nothing_of_the_model_is_left_changed() -> None:
    config = trainable(lora=LORA, vision=True)
    model = prepared(config, document("llava"))
    model.backbone.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes, state = [module.training for module in model.modules()], torch.random.get_rng_state()
    check(model, config)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)
    assert gradients(model) == {}


# ---- planted faults ----


def detach_inside(module: nn.Module) -> None:
    """A hook in the place of a detach() that somebody wrote into the module's forward."""
    module.register_forward_hook(lambda module, args, output: output.detach())


def test_a_detach_inside_the_connector_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    config = trainable(connector=True)
    model = prepared(config)
    detach_inside(model.backbone.model.image_to_text_projection.dense)
    report = check(model, config)
    (failure,) = report.failures
    assert "no gradient arrives: backbone.model.image_to_text_projection.dense.weight" in failure
    assert "latent_query" not in failure
    assert verdicts(report)["connector"] == "cut off in part"
    assert report.unused == ()


def test_a_detach_after_the_connector_is_found() -> None:
    config = trainable(connector=True, vision=True)
    model = prepared(config, document("llava"))
    detach_inside(model.backbone.model.model.multi_modal_projector)
    report = check(model, config)
    assert verdicts(report)["connector"] == verdicts(report)["vision"] == "no gradient"
    assert any(failure.startswith("group connector is to train and gets no gradient") for failure in report.failures)
    assert any(failure.startswith("group vision is to train and gets no gradient") for failure in report.failures)
    assert any("the loss depends on it, but no gradient arrives" in failure for failure in report.failures)
    # Cut or not, its last block is not in the computation, and softmax takes no notice of a bias of all keys.
    outside = ("layers.1", "post_layernorm", "k_proj.bias")
    assert report.unused
    assert all(any(part in name for part in outside) for name in report.unused)


def test_a_no_grad_around_the_picture_encoder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    config = trainable(connector=True)
    model = prepared(config)
    encode: Callable[[Tensor], Tensor] = model.backbone.encode_images
    monkeypatch.setattr(model.backbone, "encode_images", torch.no_grad()(encode))
    report = check(model, config)
    assert verdicts(report)["connector"] == "no gradient"
    assert len(report.failures) == 2
    assert "dense.weight" in report.failures[0]


def test_a_no_grad_around_a_frozen_vision_tower_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    config = trainable(connector=True)
    model = prepared(config)
    tower = model.backbone.vision_tower
    monkeypatch.setattr(tower, "forward", torch.no_grad()(tower.forward))
    assert check(model, config).failures == ()


def test_a_no_grad_around_everything_is_found() -> None:
    config = trainable(connector=True)
    model = prepared(config, document("llava", language_head=True, **DISCRETE))
    detach_inside(model.backbone.text_tower.norm)  # type: ignore[arg-type]
    report = check(model, config, tasks(action=SPOKEN))
    assert verdicts(report)["connector"] == "no gradient"


def test_a_parameter_thawed_by_mistake_is_found() -> None:
    config = trainable(connector=True)
    model = prepared(config)
    model.get_parameter("backbone.model.text_model.model.layer_norm.weight").requires_grad_(True)
    report = check(model, config)
    (failure,) = report.failures
    assert failure == "to be frozen, but trains: backbone.model.text_model.model.layer_norm.weight"
    assert verdicts(report)["decoder"] == "trains, should be frozen"


def test_a_parameter_frozen_by_mistake_is_found() -> None:
    config = trainable(decoder=1)
    model = prepared(config)
    model.backbone.text_tower.layers[1].ffn.requires_grad_(False)  # type: ignore[index, union-attr, operator]
    report = check(model, config)
    assert any(failure.startswith("to train, but frozen: ") and "ffn.fc1" in failure for failure in report.failures)


def test_a_gradient_that_is_not_finite_is_found() -> None:
    config = trainable(connector=True)
    model = prepared(config)
    model.get_parameter("action_tokens").register_hook(lambda gradient: gradient * float("nan"))
    report = check(model, config)
    assert any(failure == "with a gradient that is not finite: action_tokens" for failure in report.failures)
    assert verdicts(report)["action_tokens"] == "not finite"


def test_a_group_that_the_loss_does_not_depend_on_is_found() -> None:
    """A language head that is asked to train, in a training without words."""
    config = trainable(language_head=True)
    model = prepared(config, document("llava", language_head=True))
    report = check(model, config)
    (failure,) = report.failures
    assert failure.startswith("group language_head is to train and gets no gradient at all")
    assert report.unused == ("backbone.model.lm_head.weight",)
    assert check(model, config, tasks(vision_language={"weight": 1.0})).failures == ()


def test_blocks_that_features_are_not_taken_from_are_reported_and_no_failure() -> None:
    config = trainable(vision=True)
    report = check(prepared(config, document("llava")), config)
    assert report.failures == ()
    assert any("encoder.layers.1" in name for name in report.unused)
    assert not any("encoder.layers.0" in name for name in report.unused)
    assert verdicts(report)["vision"] == f"trains, {len(report.unused)} tensors unused"


@pytest.mark.parametrize("opens", [True, False])
def test_gates_at_zero_pass_if_they_train_and_cut_off_what_lies_behind_if_they_do_not(opens: bool) -> None:
    made = document("idefics")
    made["backbone"]["config"] = {**made["backbone"]["config"], "alpha_initializer": "zeros"}
    config = trainable(vision=True, connector=opens)
    report = check(prepared(config, made), config)
    if opens:
        assert report.failures == ()
        assert any("alpha_cross_attn" in name for name in report.nudged)
    else:
        assert verdicts(report)["vision"] == "no gradient"
        assert any(failure.startswith("group vision") for failure in report.failures)


def test_a_recurrence_that_has_not_begun_has_a_gradient_of_zeros_and_is_no_failure() -> None:
    config = trainable()
    report = check(prepared(config, document(window=1, history="none")), config)
    assert report.failures == ()
    assert report.zero == ("head.rnn.weight_hh_l0",)


# ---- the command ----


def written(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    document = yaml.safe_load(next(p for p in CONFIGURATIONS if "projector" in p.stem).read_text(encoding="utf-8"))
    change(document)
    path = tmp_path / "verify.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_the_command_shows_a_row_for_each_group() -> None:
    result = CliRunner().invoke(app, ["verify-gradients", "--config", str(CONFIGURATIONS[1])], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for word in ("decoder", "frozen", "lora", "trains", "lora_B", "loss "):
        assert word in result.output


def test_the_command_fails_and_says_what_is_wrong(tmp_path: Path) -> None:
    def ask_for_an_unused_tower(document: dict[str, Any]) -> None:
        document["trainable"]["vision"] = True
        document["policy"]["backbone"]["config"]["vision_feature_layer"] = -3

    path = written(tmp_path, ask_for_an_unused_tower)
    result = CliRunner().invoke(app, ["verify-gradients", "--config", str(path)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output  # blocks before the one that features are taken from still train
    assert "the loss does not depend on them" in result.output

    def ask_for_a_head_without_words(document: dict[str, Any]) -> None:
        document["trainable"]["language_head"] = True
        document["policy"] |= {"readout": {"type": "action_token", "tokens": 1}}
        document["policy"]["head"] = {"type": "fc", "hidden_size": 8, "mlp": [8, "relu"], "squash": "tanh"}
        document["tasks"]["action"] = {"weight": 1.0, "loss": "huber", "binary_weight": 0.1}

    path = written(tmp_path, ask_for_a_head_without_words)
    result = CliRunner().invoke(app, ["verify-gradients", "--config", str(path)], env={"COLUMNS": "200"})
    assert result.exit_code == 1, result.output
    assert "failed: group language_head is to train and gets no gradient at all" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("seed"), "seed: Field required"),
        (lambda d: d.update(steps=3), "steps: Extra inputs are not permitted"),
        (lambda d: d["trainable"].update(train_vision=True), r"trainable.train_vision: Extra inputs"),
        (lambda d: d["trainable"].pop("lora"), r"trainable.lora: Field required"),
        (lambda d: d["trainable"].update(decoder=0), r"trainable.decoder"),
        (lambda d: d["policy"].update(window=0), r"policy.window"),
        (lambda d: d["tasks"]["action"].update(weight=0), r"tasks.action.weight"),
    ],
)
def test_the_configuration_is_read_strictly(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(TrainingConfigError, match=message):
        read_verification_config(written(tmp_path, change))


@pytest.mark.parametrize(("text", "message"), [(None, "not readable"), ("a: [", "not YAML"), ("", "document: ")])
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "verify.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(TrainingConfigError, match=rf"verify.yaml: {message}"):
        read_verification_config(path)


def test_what_the_model_lacks_is_said_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(TrainingConfigError, match=r"trainable.resampler is true"):
        verify(written(tmp_path, lambda document: document["trainable"].update(resampler=True)))


def test_a_sequence_that_is_too_long_is_said_with_the_file(tmp_path: Path) -> None:
    def shorten(document: dict[str, Any]) -> None:
        document["policy"]["backbone"]["config"]["text_config"]["max_position_embeddings"] = 8

    with pytest.raises(TrainingConfigError, match=r"verify.yaml: a sequence of \d+ tokens is longer than the 8"):
        verify(written(tmp_path, shorten))


def test_the_table_has_a_row_for_all_and_notes_name_the_losses() -> None:
    config = trainable()
    report = check(prepared(config), config)
    assert gradient_table(report).row_count == len(report.groups) + 1
    assert gradient_notes(report)[0].startswith("action ")
