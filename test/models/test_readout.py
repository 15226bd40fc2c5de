"""What is read of the backbone, whatever else is in the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mobile_vla_models.modeling import Observation
from policies import SENTENCES, TOKENS, build, document, observe

POOLED: dict[str, dict[str, Any]] = {
    source: {
        "readout": {"type": "pooled", "source": source, "pooling": "max", "tokens": 2},
        "prompt": "<s>{front}{instruction}</s>",
    }
    for source in ("text", "vision", "all")
}
READOUTS = {"action_tokens": {"readout": {**TOKENS, "tokens": 3}}, **POOLED}


@pytest.mark.parametrize("history", ["post", "pre", "video"])
@pytest.mark.parametrize("name", READOUTS)
def test_padding_is_never_read(name: str, history: str) -> None:
    policy = build(document("llava", "lstm", history, **READOUTS[name]))
    observation = observe(policy.config, 2, 3)
    texts = [SENTENCES[4], SENTENCES[2]]
    with torch.inference_mode():
        together, _ = policy.model(observation, policy.encoder(policy.model, texts))
        alone, _ = policy.model(Observation(observation.pictures[:1]), policy.encoder(policy.model, texts[:1]))
    torch.testing.assert_close(together[:1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", READOUTS)
def test_the_words_are_read_unless_only_pictures_are(name: str) -> None:
    """A causal model's picture tokens stand before the words, and cannot have seen them."""
    policy = build(document("llava", "fc", "none", **READOUTS[name]))
    observation = observe(policy.config, 1, 1)
    with torch.inference_mode():
        one, _ = policy.model(observation, policy.encoder(policy.model, ["go to the red box"]))
        other, _ = policy.model(observation, policy.encoder(policy.model, ["go to the red ball"]))
    assert bool((one == other).all()) == (name == "vision")


def test_action_tokens_begin_as_long_as_words_and_differ() -> None:
    policy = build(document("llava", "lstm", "post", readout={**TOKENS, "tokens": 2}))
    tokens = policy.model.action_tokens
    assert tokens is not None
    words = policy.model.backbone.word_embedding(torch.arange(3, 256)).detach()
    assert 0.5 < float(tokens.detach().std() / words.std()) < 2.0
    assert not torch.equal(tokens[0], tokens[1])


def test_pictures_that_are_looked_at_cannot_be_pooled() -> None:
    policy = build(document("idefics", "fc", "none", **POOLED["vision"]))
    with pytest.raises(ValueError, match="no token"):
        policy.model(observe(policy.config, 1, 1), policy.encoder(policy.model, SENTENCES[:1]))


def test_a_tokenizer_of_another_model_is_refused() -> None:
    policy = build(document("kosmos2", "fc", "none"))
    policy.encoder.tokenizer.add_tokens([f"<extra{number}>" for number in range(40)], special_tokens=True)
    word = policy.encoder.tokenizer.convert_ids_to_tokens(330)
    policy.encoder._parts = (*policy.encoder._parts[:-1], type(policy.encoder._parts[0])(str(word)))
    with pytest.raises(ValueError, match="id 330, the backbone knows 320"):
        policy.encoder(policy.model, SENTENCES[:1])
