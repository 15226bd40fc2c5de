"""Actions spoken as tokens: what is decoded, how it is learnt, and that what is kept changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mobile_vla_models.action_bins import ActionBins
from mobile_vla_models.benchmark.spoken import speak_anew
from mobile_vla_models.history import begin_history
from mobile_vla_models.modeling import VLAModel
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.prompt import EncodedPrompt
from mobile_vla_models.spoken import action_ids, action_token_loss, speak_actions
from policies import SENTENCES, build, document, observe


def spec(*ranges: tuple[float, float], binary: int) -> dict[str, Any]:
    dimensions = [
        {"name": f"joint{number}", "unit": "rad", "minimum": low, "maximum": high}
        for number, (low, high) in enumerate(ranges)
    ]
    return {"continuous": dimensions, "binary": [f"grip{number}" for number in range(binary)], "limits": None}


def encoded(policy: VLAPolicy, texts: list[str]) -> EncodedPrompt:
    return policy.encoder(policy.model, texts).prompt


def pictures_of(policy: VLAPolicy, batch: int, length: int = 1) -> Tensor:
    observation = observe(policy.config, batch, length)
    shape = observation.pictures.shape[:3]
    images = policy.model.encode_pictures(observation.pictures.flatten(0, 2))
    return images.view(*shape, *images.shape[1:])


@pytest.mark.parametrize("family", ["kosmos2", "paligemma", "paligemma2", "gemma3", "qwen3_vl", "idefics", "smolvlm"])
@pytest.mark.parametrize("action", [spec((-1.0, 1.0), binary=0), spec((-0.2, 0.6), (-2.0, 2.0), binary=2)])
def test_keys_and_values_that_are_kept_change_nothing(family: str, action: dict[str, Any]) -> None:
    """For a batch of instructions of different lengths."""
    policy = build(document(family, "discrete", "none", action=action, chunk=3))
    prompt, images = encoded(policy, [SENTENCES[4], SENTENCES[2], SENTENCES[0]]), pictures_of(policy, 3)
    with torch.inference_mode():
        sequence = policy.model.sequence(prompt, images, None, None, together=False, open_ended=True)
        spoken = speak_actions(policy.model, sequence)
    assert torch.equal(spoken.ids, speak_anew(policy.model, images, prompt))
    assert spoken.continuous.shape == (3, 3, len(action["continuous"]))
    assert spoken.binary.shape == (3, 3, len(action["binary"]))


def test_a_batch_is_spoken_as_each_alone() -> None:
    policy = build(document("kosmos2", "discrete", "none"))
    texts = [SENTENCES[4], SENTENCES[2]]
    images = pictures_of(policy, 2)
    with torch.inference_mode():
        together = speak_actions(
            policy.model,
            policy.model.sequence(encoded(policy, texts), images, None, None, together=False, open_ended=True),
        )
        for row, text in enumerate(texts):
            prompt, image = encoded(policy, [text]), images[row : row + 1]
            sequence = policy.model.sequence(prompt, image, None, None, together=False, open_ended=True)
            alone = speak_actions(policy.model, sequence)
            assert torch.equal(together.ids[row], alone.ids[0])
            torch.testing.assert_close(together.binary[row], alone.binary[0], rtol=1e-5, atol=1e-6)


def test_only_ids_that_mean_an_action_are_spoken() -> None:
    """However much the model would rather say something else."""
    policy = build(document("kosmos2", "discrete", "none"))
    model = policy.model
    assert model.bins is not None
    head = model.backbone.model.get_output_embeddings()

    def rather_words(module: torch.nn.Module, inputs: tuple[Tensor, ...], logits: Tensor) -> Tensor:
        louder = logits.clone()
        louder[..., : model.bins.ids.start] += 1e4
        louder[..., model.bins.ids.stop :] += 1e4
        return louder

    head.register_forward_hook(rather_words)
    sequence = model.sequence(
        encoded(policy, SENTENCES[:1]), pictures_of(policy, 1), None, None, together=False, open_ended=True
    )
    spoken = speak_actions(model, sequence)
    assert all(int(number) in model.bins.ids for number in spoken.ids.flatten())
    assert all(int(number) in model.bins.binary_ids for number in spoken.ids.view(2, 3)[:, 2])


def test_256_bins_in_the_tail_of_the_vocabulary() -> None:
    policy = build({**document("kosmos2", "discrete", "none"), "head": {"type": "discrete", "bins": 256, "end": 320}})
    assert policy.model.bins == ActionBins(256, 320)
    chunk = policy.step(observe(policy.config, 1, 1).pictures[0, 0, 0].numpy(), SENTENCES[0])
    spec_ = policy.config.action
    width = (spec_.maximum - spec_.minimum) / 255.0
    # Every value is the centre of a bin of its own dimension's width.
    steps = (chunk.velocity - spec_.minimum) / width - 0.5
    assert float(abs(steps - steps.round()).max()) < 1e-3


def test_the_loss_is_learnt_and_then_spoken() -> None:
    """Overfitting a batch, the actions that come out are those that were shown."""
    policy = build(document("llava", "discrete", "post"))
    model = policy.model.train()
    images, prompt = pictures_of(policy, 2, 2).detach(), encoded(policy, [SENTENCES[0], SENTENCES[3]])
    generator = torch.Generator().manual_seed(0)
    continuous = torch.rand(2, 2, 2, 2, generator=generator) * 2.0 - 1.0
    binary = torch.randint(0, 2, (2, 2, 2, 1), generator=generator).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = action_token_loss(model, images, None, prompt, continuous, binary, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    assert model.bins is not None
    with torch.inference_mode():
        sequence = model.sequence(prompt, images, None, None, together=False, open_ended=True)
        spoken = speak_actions(model, sequence)
    assert torch.equal(spoken.ids, action_ids(model.bins, continuous, binary).flatten(0, 1))
    half_a_bin = 1.0 / (model.bins.bins - 1)
    assert float((spoken.continuous.view_as(continuous) - continuous).abs().max()) <= half_a_bin + 1e-6
    assert torch.equal(spoken.binary.view_as(binary).round(), binary)


def test_steps_that_are_masked_are_not_learnt() -> None:
    policy = build(document("kosmos2", "discrete", "post"))
    model, images, prompt = policy.model, pictures_of(policy, 1, 2), encoded(policy, SENTENCES[:1])
    continuous, binary = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 1)
    mask = torch.tensor([[[True, True], [False, False]]])
    other = continuous.clone()
    other[:, 1] = 0.9
    with torch.inference_mode():
        one = action_token_loss(model, images, None, prompt, continuous, binary, mask)
        assert float(one) == float(action_token_loss(model, images, None, prompt, other, binary, mask))
        assert float(one) != float(action_token_loss(model, images, None, prompt, continuous, binary, None))
    with pytest.raises(ValueError, match="token"):
        action_token_loss(model, images, None, prompt, continuous, binary, torch.zeros_like(mask))


def test_with_history_pre_the_actions_spoken_before_are_heard() -> None:
    policy = build(document("kosmos2", "discrete", "pre"))
    model, run = policy.model, observe(policy.config, 1, 5)
    instruction = policy.encoder(model, SENTENCES[:1])
    history = begin_history(model, instruction)
    said: list[Tensor] = []
    for step in range(5):
        continuous, _ = history.step(run.pictures[0, step], None)
        begin = max(0, step - 2)
        images = model.encode_pictures(run.pictures[0, begin : step + 1, 0])[None, :, None]
        before = said[begin:]
        ids = torch.stack([*before, torch.full((1, 6), 305)], dim=1)
        words = model.backbone.word_embedding(ids)
        sequence = model.sequence(instruction.prompt, images, None, words, together=True, open_ended=True)
        expected = speak_actions(model, sequence)
        said.append(expected.ids)
        assert torch.equal(continuous, expected.continuous[0])


def test_speaking_changes_nothing_of_the_policy() -> None:
    """A roll-out of two policies, one of which has spoken before, is the same."""
    policy = build(document("kosmos2", "discrete", "post", chunk=3))
    frame = observe(policy.config, 1, 1).pictures[0, 0, 0].numpy()
    first = policy.step(frame, SENTENCES[0])
    again = policy.step(frame, SENTENCES[0])
    assert first.velocity.shape == again.velocity.shape == (3, 2)
    assert (first.velocity == again.velocity).all()
    assert policy.config.chunk == 3


def test_a_policy_with_a_head_does_not_speak() -> None:
    policy = build(document("kosmos2", "fc", "none"))
    model: VLAModel = policy.model
    sequence = model.sequence(
        encoded(policy, SENTENCES[:1]), pictures_of(policy, 1), None, None, together=False, open_ended=True
    )
    with pytest.raises(TypeError, match="fc head"):
        speak_actions(model, sequence)
