from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from setups import ACTION, DISCRETE, SPOKEN, build, document, full_document, tasks, trainable
from torch import Tensor

from mobile_vla_models.errors import TrainingConfigError
from mobile_vla_models.loss import action_loss
from mobile_vla_models.modeling import VLAModel
from mobile_vla_models.prompt import Slot, Words
from mobile_vla_models.training.tasks import ActionBatch, Batch, TasksConfig, VisionLanguageBatch, training_loss
from mobile_vla_models.training.trainable import set_trainable
from mobile_vla_models.training.verify import random_action_batch, random_vision_language_batch

VISION_LANGUAGE = {"weight": 0.5}


def action_batch(model: VLAModel, seed: int = 0) -> ActionBatch:
    torch.manual_seed(seed)
    return random_action_batch(model)


def question_batch(model: VLAModel, seed: int = 0) -> VisionLanguageBatch:
    torch.manual_seed(seed)
    return random_vision_language_batch(model)


@pytest.fixture
def model() -> VLAModel:
    """Acts by an LSTM head, and can speak."""
    return build(document(language_head=True))


@pytest.fixture
def speaking() -> VLAModel:
    return build(document(language_head=True, **DISCRETE))


# ---- the losses ----


def test_an_action_loss_is_that_of_the_head_over_the_window(model: VLAModel) -> None:
    batch = action_batch(model)
    batch.mask[0, 0, 1] = False
    losses = training_loss(model, {"action": batch}, tasks(action={**ACTION, "loss": "l1", "binary_weight": 0.3}))
    answered = model(batch.observation, batch.instruction)
    continuous, binary = action_loss(*answered, batch.continuous, batch.binary, batch.mask, "l1")
    assert losses.keys() == {"action", "action_continuous", "action_binary", "loss"}
    torch.testing.assert_close(losses["action_continuous"], continuous)
    torch.testing.assert_close(losses["action_binary"], binary)
    torch.testing.assert_close(losses["loss"], continuous + 0.3 * binary)


def test_the_total_is_the_weighted_sum(model: VLAModel) -> None:
    batches: dict[str, Batch] = {"action": action_batch(model), "vision_language": question_batch(model)}
    losses = training_loss(model, batches, tasks(action={**ACTION, "weight": 2.0}, vision_language=VISION_LANGUAGE))
    torch.testing.assert_close(losses["loss"], 2.0 * losses["action"] + 0.5 * losses["vision_language"])


def test_a_step_may_have_one_of_the_tasks_only(model: VLAModel) -> None:
    losses = training_loss(model, {"vision_language": question_batch(model)}, tasks(vision_language=VISION_LANGUAGE))
    assert losses.keys() == {"vision_language", "loss"}
    torch.testing.assert_close(losses["loss"], 0.5 * losses["vision_language"])


def test_a_policy_without_a_binary_group_has_no_loss_of_it() -> None:
    made = document()
    made["action"] = {**made["action"], "binary": []}
    model = build(made)
    losses = training_loss(model, {"action": action_batch(model)}, tasks())
    assert losses.keys() == {"action", "action_continuous", "loss"}


def test_a_video_is_compared_with_the_labels_of_its_newest_frame() -> None:
    model = build(document(history="video"))
    batch = action_batch(model)
    loss = training_loss(model, {"action": batch}, tasks())["loss"]
    batch.continuous[:, :-1] = 0.5
    batch.binary[:, :-1] = 0.0
    batch.mask[:, :-1] = False
    assert training_loss(model, {"action": batch}, tasks())["loss"].item() == loss.item()
    batch.mask[:, -1] = False
    with pytest.raises(ValueError, match="no entry counts"):
        training_loss(model, {"action": batch}, tasks())


def test_spoken_actions_have_one_loss(speaking: VLAModel) -> None:
    losses = training_loss(speaking, {"action": action_batch(speaking)}, tasks(action=SPOKEN))
    assert losses.keys() == {"action", "loss"}
    assert 3.0 < losses["action"].item() < 9.0  # about ln(320) of a model that knows nothing


@pytest.mark.parametrize("history", ["post", "pre"])
def test_labels_that_do_not_count_may_hold_anything(history: str) -> None:
    for changes, task in (({}, ACTION), ({"language_head": True, **DISCRETE}, SPOKEN)):
        model = build(document(history=history, **changes))
        batch = action_batch(model)
        batch.mask[1, -1, 1:] = False
        gone = ~batch.mask
        losses = []
        for value in (0.0, float("nan")):
            batch.continuous[gone], batch.binary[gone] = value, value
            losses.append(training_loss(model, {"action": batch}, tasks(action=task))["loss"].item())
        assert losses[0] == losses[1]


def test_what_lies_beyond_an_answers_length_does_not_count(model: VLAModel) -> None:
    batch = question_batch(model)
    config = tasks(vision_language=VISION_LANGUAGE)
    loss = training_loss(model, {"vision_language": batch}, config)["loss"]
    batch.answer[0, batch.lengths[0] :] = 7
    assert training_loss(model, {"vision_language": batch}, config)["loss"].item() == loss.item()
    batch.answer[0, batch.lengths[0] - 1] += 1
    assert training_loss(model, {"vision_language": batch}, config)["loss"].item() != loss.item()


def test_an_answer_is_learnt_from_the_picture_and_the_question(model: VLAModel) -> None:
    batch = question_batch(model)
    config = tasks(vision_language=VISION_LANGUAGE)
    loss = training_loss(model, {"vision_language": batch}, config)["loss"].item()
    other = replace(batch, pictures=batch.pictures.flip(0))
    assert training_loss(model, {"vision_language": other}, config)["loss"].item() != loss
    other = replace(batch, prompt=replace(batch.prompt, ids=batch.prompt.ids.flip(1)))
    assert training_loss(model, {"vision_language": other}, config)["loss"].item() != loss


def test_questions_need_no_state_though_the_policy_takes_one() -> None:
    model = build(full_document())
    batches: dict[str, Batch] = {"action": action_batch(model), "vision_language": question_batch(model)}
    loss = training_loss(model, batches, tasks(vision_language=VISION_LANGUAGE))
    loss["vision_language"].backward()
    assert model.state_encoder is not None
    assert not any(bool(p.grad.any()) for p in model.state_encoder.parameters() if p.grad is not None)


def test_a_question_shows_its_pictures_in_the_order_of_its_own_places() -> None:
    made = document("llava", language_head=True, cameras=["front", "rear"])
    made["prompt"] = made["prompt"].replace("{front}", "{front}{rear}")
    model, config = build(made), tasks(vision_language=VISION_LANGUAGE)
    batch = question_batch(model)
    assert batch.pictures.shape[1] == 2
    batch.pictures[:, 0] = 0

    def loss(question: VisionLanguageBatch) -> float:
        return training_loss(model, {"vision_language": question}, config)["loss"].item()

    expected = loss(batch)
    other = replace(_showing(batch, "rear", "front"), pictures=batch.pictures)
    assert loss(other) == pytest.approx(expected, abs=1e-6)  # the places' names do not matter to the answer
    assert loss(replace(other, pictures=batch.pictures.flip(1))) != pytest.approx(expected, abs=1e-5)
    one = [loss(replace(_showing(batch, name), pictures=batch.pictures[:, 1:])) for name in ("front", "rear")]
    assert one[0] == pytest.approx(one[1], abs=1e-6)


def test_pictures_are_encoded_once_in_each_task(model: VLAModel, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode: Callable[[Tensor], Tensor] = model.backbone.encode_images

    def count(pixels: Tensor) -> Tensor:
        encoded.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(model.backbone, "encode_images", count)
    batches: dict[str, Batch] = {"action": action_batch(model), "vision_language": question_batch(model)}
    training_loss(model, batches, tasks(vision_language=VISION_LANGUAGE))
    assert encoded == [2 * 3, 2]


@pytest.mark.parametrize("family", ["kosmos2", "llava", "paligemma", "idefics", "qwen2_vl"])
def test_steps_of_co_training_lower_both_losses(family: str) -> None:
    model = build(document(family, language_head=True))
    set_trainable(model, trainable(decoder="all", connector=True, embeddings=True))
    batches: dict[str, Batch] = {"action": action_batch(model), "vision_language": question_batch(model)}
    config = tasks(vision_language=VISION_LANGUAGE)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    history = []
    for _ in range(8):
        losses = training_loss(model, batches, config)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append({name: float(loss.detach()) for name, loss in losses.items()})
    for name in ("action", "vision_language", "loss"):
        assert history[-1][name] < history[0][name]


def test_spoken_actions_and_answers_are_learnt_together(speaking: VLAModel) -> None:
    set_trainable(speaking, trainable(decoder="all"))
    batches: dict[str, Batch] = {"action": action_batch(speaking), "vision_language": question_batch(speaking)}
    loss = training_loss(speaking, batches, tasks(action=SPOKEN, vision_language=VISION_LANGUAGE))["loss"]
    loss.backward()
    assert all(p.grad is not None for p in speaking.backbone.text_tower.parameters() if p.requires_grad)


# ---- what is refused ----


def test_a_loss_that_trains_nothing_is_refused_but_may_be_evaluated(model: VLAModel) -> None:
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="the loss of action requires no gradient"):
        training_loss(model, {"action": action_batch(model)}, tasks())
    with torch.no_grad():
        assert training_loss(model, {"action": action_batch(model)}, tasks())["loss"].item() > 0


def test_no_batch_is_refused(model: VLAModel) -> None:
    """The peer's default, an empty list of sources, trained nothing and said nothing."""
    with pytest.raises(ValueError, match="no batch"):
        training_loss(model, {}, tasks())


@pytest.mark.parametrize("name", ["acton", "vision_language"])
def test_a_batch_of_an_unknown_task_or_one_without_weight_is_refused(model: VLAModel, name: str) -> None:
    with pytest.raises(TrainingConfigError, match=f"a batch of task '{name}', but tasks has only action"):
        training_loss(model, {name: question_batch(model)}, tasks())


def test_a_batch_of_another_type_is_refused(model: VLAModel) -> None:
    config = tasks(vision_language=VISION_LANGUAGE)
    with pytest.raises(TypeError, match="'action' is a VisionLanguageBatch, expected ActionBatch"):
        training_loss(model, {"action": question_batch(model)}, config)
    with pytest.raises(TypeError, match="'vision_language' is a ActionBatch, expected VisionLanguageBatch"):
        training_loss(model, {"vision_language": action_batch(model)}, config)


def test_questions_without_a_language_head_are_refused() -> None:
    model = build()
    with pytest.raises(TrainingConfigError, match=r"backbone.language_head must be true"):
        training_loss(model, {"action": action_batch(model)}, tasks(vision_language=VISION_LANGUAGE))


def test_the_kind_of_loss_must_fit_the_head(model: VLAModel, speaking: VLAModel) -> None:
    with pytest.raises(TrainingConfigError, match="head is 'lstm', loss None"):
        training_loss(model, {"action": action_batch(model)}, tasks(action=SPOKEN))
    with pytest.raises(TrainingConfigError, match="head is 'discrete', loss 'huber'"):
        training_loss(speaking, {"action": action_batch(speaking)}, tasks())


@pytest.mark.parametrize("history", ["post", "pre", "video"])
def test_a_mask_that_counts_nothing_is_refused(history: str) -> None:
    model = build(document(history=history))
    batch = action_batch(model)
    with pytest.raises(ValueError, match="no entry counts"):
        training_loss(model, {"action": replace(batch, mask=torch.zeros_like(batch.mask))}, tasks())


def test_a_mask_that_counts_nothing_is_refused_of_spoken_actions(speaking: VLAModel) -> None:
    batch = action_batch(speaking)
    with pytest.raises(ValueError, match="no token"):
        training_loss(speaking, {"action": replace(batch, mask=torch.zeros_like(batch.mask))}, tasks(action=SPOKEN))


@pytest.mark.parametrize("name", ["continuous", "binary", "mask"])
def test_labels_of_another_shape_are_refused(model: VLAModel, speaking: VLAModel, name: str) -> None:
    for policy, task in ((model, ACTION), (speaking, SPOKEN)):
        batch = action_batch(policy)
        with pytest.raises(ValueError, match=f"action batch: {name} has shape"):
            training_loss(policy, {"action": replace(batch, **{name: getattr(batch, name)[:, :1]})}, tasks(action=task))


def test_a_mask_of_numbers_is_refused(model: VLAModel) -> None:
    batch = action_batch(model)
    with pytest.raises(ValueError, match=r"mask is torch.float32, expected bool"):
        training_loss(model, {"action": replace(batch, mask=batch.mask.float())}, tasks())


def _without(batch: VisionLanguageBatch, name: str) -> VisionLanguageBatch:
    parts = tuple(part for part in batch.prompt.parts if isinstance(part, Words) or part.name != name)
    return replace(batch, prompt=replace(batch.prompt, parts=parts))


def _showing(batch: VisionLanguageBatch, *cameras: str) -> VisionLanguageBatch:
    parts = (*map(Slot, cameras), Words("question"), Slot("action"), Words("end"))
    return replace(batch, prompt=replace(batch.prompt, parts=parts))


def _with_state(batch: VisionLanguageBatch) -> VisionLanguageBatch:
    return replace(batch, prompt=replace(batch.prompt, parts=(Slot("state"), *batch.prompt.parts)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: _without(b, "action"), r"a prompt needs one \{action\}"),
        (_with_state, r"no \{state\}"),
        (lambda b: _without(b, "front"), r"shows \(\), expected some of \('front',\)"),
        (lambda b: _showing(b, "front", "front"), r"shows \('front', 'front'\)"),
        (lambda b: _showing(b, "rear"), r"shows \('rear',\), expected some of \('front',\)"),
        (lambda b: replace(b, pictures=b.pictures.repeat(1, 2, 1, 1, 1)), r"expected \(b, 1, s, s, 3\)"),
        (lambda b: replace(b, pictures=b.pictures[:1]), "1 samples of pictures, 2 prompts, 2 answers and 2 lengths"),
        (lambda b: replace(b, lengths=(2,)), "2 answers and 1 lengths"),
        (lambda b: replace(b, lengths=(0, 3)), "expected from 1 up to 3"),
        (lambda b: replace(b, lengths=(2, 2)), "expected from 1 up to 3"),
    ],
)
def test_questions_that_do_not_fit_together_are_refused(model: VLAModel, change: Any, message: str) -> None:
    batch = change(question_batch(model))
    with pytest.raises(ValueError, match=message):
        training_loss(model, {"vision_language": batch}, tasks(vision_language=VISION_LANGUAGE))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"action": None, "vision_language": None}, "no task"),
        ({"action": ACTION}, "Field required"),
        ({"action": {**ACTION, "weight": 0.0}, "vision_language": None}, "greater than 0"),
        ({"action": {**ACTION, "binary_weight": None}, "vision_language": None}, "null is for both"),
        ({"action": {**ACTION, "loss": "mse"}, "vision_language": None}, "huber"),
        ({"action": ACTION, "vision_language": None, "video": None}, "Extra inputs"),
    ],
)
def test_a_configuration_of_tasks_is_strict(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TasksConfig.model_validate(document)
