"""Converted policies give RoboVLMs' numbers: outputs of a run and of windows, losses, gradients.

Not compared, because ours must not do the same: its decoding of spoken actions over the whole vocabulary, and the
oldest frame's action, which its evaluation executes with history "pre" (its outputs of the newest frame are compared).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from formula import SENTENCE, TRAINING_SENTENCES
from robovlms_cases import CONTINUOUS, DISCRETE, DT, TRAINED, Case
from torch import Tensor

from mobile_vla_models.convert.robovlms_weights import our_name
from mobile_vla_models.history import begin_history
from mobile_vla_models.modeling import Observation, VLAModel
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.sequence import ACTION_TOKEN, Sequence
from mobile_vla_models.spoken import action_ids, action_token_loss, speak_actions
from mobile_vla_models.training.tasks import ActionBatch, ActionTaskConfig, TasksConfig, task_losses

Load = Callable[[str], VLAPolicy]
TASKS = TasksConfig(action=ActionTaskConfig(weight=1.0, loss="huber", binary_weight=0.01), vision_language=None)


def assert_close(found: Tensor, expected: Tensor, share: float = 1e-5) -> None:
    """To a share of the largest value: what rounding costs is of that size, also where values cancel to little."""
    torch.testing.assert_close(found, expected, rtol=0.0, atol=share * float(expected.abs().max()))


def run(policy: VLAPolicy, case: Case) -> tuple[Tensor, Tensor]:
    """Roll-out in the head's own range: continuous (t, chunk, 6) in [-1, 1], probabilities (t, chunk, 1)."""
    frames = case.run_pictures(len(case.tensors["run/continuous"]), len(policy.config.cameras))
    chunks = [
        policy.step(
            pictures[0], SENTENCE, extra_cameras=dict(zip(policy.config.cameras[1:], pictures[1:], strict=True))
        )
        for pictures in frames
    ]
    spec = policy.config.action
    values = np.stack([chunk.continuous for chunk in chunks])
    share = 2.0 * (values - spec.minimum) / (spec.maximum - spec.minimum) - 1.0
    return torch.from_numpy(share), torch.from_numpy(np.stack([chunk.binary for chunk in chunks]))


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_words_become_the_same_ids(name: str, converted: Load) -> None:
    policy, tensors = converted(name), Case(name).tensors
    prompt = policy.encoder(policy.model, [SENTENCE]).prompt
    ids = prompt.ids[0, : len(tensors["ids"])]  # ours goes on behind the answer
    assert ids.tolist() == tensors["ids"].tolist()
    assert policy.config.dt == DT


@pytest.mark.parametrize("name", CONTINUOUS)
def test_run(name: str, converted: Load) -> None:
    policy, case = converted(name), Case(name)
    continuous, probability = run(policy, case)
    assert len(continuous) > policy.config.window
    assert_close(continuous, case.tensors["run/continuous"])
    assert_close(probability, case.tensors["run/binary_logits"].sigmoid())


@pytest.mark.parametrize("name", TRAINED)
@torch.no_grad()
def test_windows(name: str, converted: Load) -> None:
    policy, case = converted(name), Case(name)
    observation, _ = case.batch(policy)
    instruction = policy.encoder(policy.model, TRAINING_SENTENCES)
    assert instruction.prompt.ids.tolist() == case.tensors["batch/ids"].tolist()
    continuous, binary = policy.model(observation, instruction)
    assert_close(continuous, case.tensors["batch/continuous"])
    assert_close(binary, case.tensors["batch/binary_logits"])


@pytest.mark.parametrize("name", CONTINUOUS)
@torch.no_grad()
def test_a_run_gives_what_a_window_gives(name: str, converted: Load) -> None:
    policy, case = converted(name), Case(name)
    window = policy.config.window
    continuous, probability = run(policy, case)
    frames = torch.from_numpy(case.run_pictures(window, len(policy.config.cameras)))
    instruction = policy.encoder(policy.model, [SENTENCE])
    at_once, logits = policy.model(Observation(frames.unsqueeze(0)), instruction)
    assert_close(continuous[window - 1], at_once[0, -1])
    assert_close(probability[window - 1], logits[0, -1].sigmoid())


@pytest.mark.parametrize("name", TRAINED)
def test_losses_and_gradients(name: str, converted: Load) -> None:
    policy, case = converted(name), Case(name)
    # GPT-2 has dropout, which the recording had off; all other rates are 0.
    policy.model.train(policy.config.head.type != "gpt")
    observation, labels = case.batch(policy)
    instruction = policy.encoder(policy.model, TRAINING_SENTENCES)
    losses = task_losses(policy.model, {"action": ActionBatch(observation, instruction, **labels)}, TASKS)
    losses["loss"].backward()
    assert_close(losses["action_continuous"], case.tensors["loss/continuous"])
    assert_close(losses["action_binary"], case.tensors["loss/binary"])
    assert_close(losses["loss"], case.tensors["loss/total"])
    assert_gradients(policy.model, case)


def assert_gradients(model: VLAModel, case: Case) -> None:
    """Norms of all parameters, and the small ones in full, to 1e-4 of the largest entry."""
    gradients = {name: gradient(model, name) for name in case.gradient_names}
    norms = torch.stack([value.norm() for value in gradients.values()])
    expected = case.tensors["grad_norms"]
    # The gradient of a key's bias is nothing but rounding: softmax does not see it.
    torch.testing.assert_close(norms, expected, rtol=1e-4, atol=1e-7 * float(expected.max()))
    for name, value in gradients.items():
        if f"grads/{name}" in case.tensors:
            full = case.tensors[f"grads/{name}"]
            torch.testing.assert_close(value, full, rtol=0.0, atol=1e-4 * float(full.abs().max()) + 1e-8)


def gradient(model: VLAModel, name: str) -> Tensor:
    """Of the peer's parameter `name`; it has one vector for all action tokens."""
    value = model.get_parameter(our_name(name)).grad
    assert value is not None, name
    return value.sum(dim=0) if name == "action_token" else value


@pytest.mark.parametrize("name", DISCRETE)
@torch.no_grad()
def test_first_logits_of_spoken_actions(name: str, converted: Load) -> None:
    policy, case = converted(name), Case(name)
    model = policy.model
    pictures = torch.from_numpy(case.run_pictures(1, 2))
    images = model.encode_pictures(pictures[0]).unsqueeze(0).unsqueeze(0)
    prompt = policy.encoder(model, [SENTENCE]).prompt
    sequence = model.sequence(prompt, images, None, None, together=False, open_ended=True)
    logits = model.backbone.logits(model.backbone.run(sequence)[0, -1])
    assert_close(logits, case.tensors["run/first_logits"])
    assert model.bins is not None
    assert model.bins.end == int(case.tensors["end"])


@pytest.mark.parametrize("name", DISCRETE)
def test_spoken_losses_and_gradients(name: str, converted: Load) -> None:
    policy, case = converted(name), Case(name)
    model = policy.model.train()
    observation, labels = case.batch(policy)
    pictures = observation.pictures
    images = model.encode_pictures(pictures.flatten(0, 2))
    images = images.view(*pictures.shape[:3], *images.shape[1:])
    prompt = policy.encoder(model, TRAINING_SENTENCES).prompt
    loss = action_token_loss(model, images, None, prompt, **labels)
    loss.backward()  # type: ignore[no-untyped-call]
    assert_close(loss, case.tensors["loss/total"])
    assert_gradients(model, case)


@pytest.mark.parametrize("name", DISCRETE)
def test_actions_become_the_same_ids(name: str, converted: Load) -> None:
    policy, case = converted(name), Case(name)
    _, labels = case.batch(policy)
    assert policy.model.bins is not None
    ids = action_ids(policy.model.bins, labels["continuous"], labels["binary"])
    recorded = case.tensors["batch/ids"]
    assert recorded[..., -1 - ids.shape[-1] : -1].tolist() == ids.tolist()


@pytest.mark.parametrize("name", DISCRETE)
@torch.no_grad()
def test_spoken_actions_are_what_training_would_foretell(name: str, converted: Load) -> None:
    policy, case = converted(name), Case(name)
    model, window = policy.model, policy.config.window
    frames = torch.from_numpy(case.run_pictures(3, 2))
    images = model.encode_pictures(frames.flatten(0, 1)).unflatten(0, (1, 3, 2))
    instruction = policy.encoder(model, [SENTENCE])
    history = begin_history(model, instruction)
    heard: list[Tensor] = []
    for step, pictures in enumerate(frames):
        first = max(0, step + 1 - window)
        seen = images[:, first : step + 1]
        # The place of the newest action is not reached when the sequence is open.
        words = (
            model.backbone.word_embedding(torch.stack([*heard[first:], torch.zeros_like(heard[0])])) if heard else None
        )
        open_ended = model.sequence(
            instruction.prompt,
            seen,
            None,
            None if words is None else words.unsqueeze(0),
            together=True,
            open_ended=True,
        )
        spoken = speak_actions(model, open_ended)
        continuous, probability = history.step(pictures, None)
        assert_close(continuous, spoken.continuous[0])
        assert_close(probability, spoken.binary[0])
        heard.append(spoken.ids[0])
        words = model.backbone.word_embedding(torch.stack(heard[first:])).unsqueeze(0)
        sequence = model.sequence(instruction.prompt, seen, None, words, together=True)
        assert foretold(model, sequence).tolist() == spoken.ids[0].tolist()


def foretold(model: VLAModel, sequence: Sequence) -> Tensor:
    """The likeliest of the ids allowed at each place of the newest frame's action, given all before it."""
    layout = sequence.layout
    newest = (layout.kinds[0] == ACTION_TOKEN) & (layout.frame[0] == layout.frames - 1)
    logits = model.backbone.logits(model.backbone.run(sequence)[0, :-1][newest[1:]])
    bins, spec = model.bins, model.config.action
    assert bins is not None
    allowed = torch.full_like(logits, -torch.inf)
    for place, row in enumerate(allowed):
        binary = place % spec.width >= len(spec.continuous)
        choice = list(bins.binary_ids if binary else bins.ids)
        row[choice] = logits[place, choice]
    return allowed.argmax(dim=-1)
