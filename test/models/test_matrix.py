"""Every backbone with continuous and spoken actions, with and without history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from backbone.families import FAMILIES
from torch import Tensor

from mobile_vla_models.loss import action_loss
from mobile_vla_models.modeling import Observation
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.spoken import action_ids, action_token_loss, answer_logits
from policies import SENTENCES, build, document, observe, pictures

CASES = [
    pytest.param((family, head, history), id=f"{family}-{'spoken' if head == 'discrete' else 'continuous'}-{history}")
    for family in FAMILIES
    for head in ("lstm", "discrete")
    for history in ("post", "none")
]


@lru_cache(maxsize=1)
def policy_of(case: tuple[str, str, str]) -> VLAPolicy:
    return build(document(*case))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    return request.param  # type: ignore[no-any-return]


def images_of(policy: VLAPolicy, observation: Observation) -> Tensor:
    shape = observation.pictures.shape[:3]
    images = policy.model.encode_pictures(observation.pictures.flatten(0, 2))
    return images.view(*shape, *images.shape[1:])


def labels(policy: VLAPolicy, batch: int, length: int) -> tuple[Tensor, Tensor]:
    shape = (length, policy.config.chunk)
    continuous, binary = [], []
    for sample in range(batch):
        generator = torch.Generator().manual_seed(sample)
        continuous.append(torch.rand(*shape, 2, generator=generator) * 2.0 - 1.0)
        binary.append(torch.randint(0, 2, (*shape, 1), generator=generator).float())
    return torch.stack(continuous), torch.stack(binary)


def response(policy: VLAPolicy, observation: Observation, instructions: Sequence[str]) -> Tensor:
    """What the model makes of windows, (b, ...): actions, or the logits of given ones."""
    model = policy.model.eval()
    encoded = policy.encoder(model, instructions)
    with torch.inference_mode():
        if model.bins is None:
            continuous, binary = model(observation, encoded)
            return torch.cat([continuous, binary], dim=-1)
        batch, length = observation.pictures.shape[:2]
        ids = action_ids(model.bins, *labels(policy, batch, length))
        images = images_of(policy, observation)
        counts = torch.ones_like(ids, dtype=torch.bool)
        logits, _ = answer_logits(model, images, None, encoded.prompt, ids, counts, together=False)
        return logits.view(batch, -1)


def loss_of(policy: VLAPolicy, observation: Observation, instructions: Sequence[str]) -> Tensor:
    model = policy.model
    encoded = policy.encoder(model, instructions)
    continuous, binary = labels(policy, *observation.pictures.shape[:2])
    if model.bins is None:
        return sum(action_loss(*model(observation, encoded), continuous, binary, None, "huber"))
    images = images_of(policy, observation)
    return action_token_loss(model, images, None, encoded.prompt, continuous, binary, None)


def test_an_action_comes_out(case: tuple[str, str, str]) -> None:
    policy = policy_of(case)
    policy.reset()
    for picture in pictures(policy.config, 1, 4)[0, :, 0]:
        chunk = policy.step(picture, SENTENCES[0])
    assert chunk.velocity.shape == (2, 2)
    assert np.all(np.abs(chunk.velocity) <= [0.6, 1.2])
    assert np.all((chunk.stop > 0.0) & (chunk.stop < 1.0))


def test_padding_never_changes_an_action(case: tuple[str, str, str]) -> None:
    """The same sample alone and beside one with a longer instruction."""
    policy = policy_of(case)
    observation = observe(policy.config, 2, policy.config.window)
    together = response(policy, observation, [SENTENCES[4], SENTENCES[2]])
    alone = response(policy, replace(observation, pictures=observation.pictures[:1]), [SENTENCES[4]])
    torch.testing.assert_close(together[:1], alone, rtol=1e-5, atol=1e-5)


def test_the_last_word_and_the_frame_change_the_action(case: tuple[str, str, str]) -> None:
    policy = policy_of(case)
    observation = observe(policy.config, 1, policy.config.window)
    action = response(policy, observation, ["go to the red box"])
    assert float((response(policy, observation, ["go to the red ball"]) - action).abs().max()) > 1e-6
    changed = observation.pictures.clone()
    changed[:, -1] = 255 - changed[:, -1]
    assert float((response(policy, Observation(changed), ["go to the red box"]) - action).abs().max()) > 1e-6


def test_what_is_saved_acts_the_same(case: tuple[str, str, str], tmp_path: Path) -> None:
    policy = policy_of(case)
    policy.save_pretrained(tmp_path / "policy", {}, "# random\n")
    loaded = VLAPolicy.from_pretrained(tmp_path / "policy")
    observation = observe(policy.config, 1, policy.config.window)
    expected = response(policy, observation, SENTENCES[:1])
    assert torch.equal(response(loaded, observation, SENTENCES[:1]), expected)


def test_training_steps_lower_the_loss_on_a_batch(case: tuple[str, str, str]) -> None:
    policy = build(document(*case))
    policy.model.train()
    observation = observe(policy.config, 2, policy.config.window)
    optimizer = torch.optim.Adam(policy.model.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = loss_of(policy, observation, SENTENCES[:2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0], losses
