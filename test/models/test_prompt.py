"""Prompts are templates: what stands where, and what a causal model can see of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.instruction import InstructionEncoder
from mobile_vla_models.prompt import encode_prompts, parse_prompt
from mobile_vla_models.sequence import (
    ACTION_TOKEN,
    BOUNDARY_TOKEN,
    IMAGE_TOKEN,
    PADDING,
    STATE_TOKEN,
    TEXT_TOKEN,
    compose,
    lay_out,
)
from mobile_vla_models.text import train_tokenizer
from policies import SENTENCES, build, document

TOKENIZER = train_tokenizer(SENTENCES, vocab_size=300, max_length=64)
CAMERAS = ("front", "hand")
TEMPLATE = "<s>{hand}{front}{state}please {instruction}{action}</s>"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("<s>{front}{hand}{state}{action}", "instruction.* 0 times"),
        ("<s>{front}{state}{instruction}{action}", "hand.* 0 times"),
        ("<s>{front}{front}{hand}{state}{instruction}{action}", "front.* 2 times"),
        ("<s>{front}{hand}{state}{rear}{instruction}{action}", "unknown place {rear}"),
        ("<s>{front}{hand}{state}{action}{instruction}", r"{instruction} after {action}"),
        ("<s>{front}{hand}{instruction}{action}{state}", r"{state} after {action}"),
    ],
)
def test_a_template_that_cannot_work_is_refused(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_prompt(template, CAMERAS, has_state=True, has_action=True)


def test_everything_lies_where_the_template_has_it() -> None:
    prompt = encode_prompts(parse_prompt(TEMPLATE, CAMERAS, True, True), ["stop", SENTENCES[2]], TOKENIZER)
    assert prompt.cameras == ("hand", "front")
    layout = lay_out(prompt, image_tokens=2, pictures=1, action_tokens=3, frames=2)
    words = [sum(lengths) - 2 for lengths in prompt.lengths]
    for row, count in enumerate(words):
        one = [
            BOUNDARY_TOKEN,
            *[IMAGE_TOKEN] * 4,
            STATE_TOKEN,
            *[TEXT_TOKEN] * count,
            *[ACTION_TOKEN] * 3,
            BOUNDARY_TOKEN,
        ]
        kinds = layout.kinds[row].tolist()
        assert kinds[: 2 * len(one)] == one * 2
        assert set(kinds[2 * len(one) :]) <= {PADDING}
        assert layout.seen[row, 1 : len(one)].tolist() == [1, 1, *[2] * (len(one) - 3)]
        assert layout.frame[row, : 2 * len(one)].tolist() == [0] * len(one) + [1] * len(one)
        assert layout.answer[row, : len(one)].tolist() == [False] * (len(one) - 4) + [True] * 4


def test_composition_takes_each_part_from_its_own_place() -> None:
    """Every embedding is its own number: they come out in the order of the template."""
    prompt = encode_prompts(parse_prompt(TEMPLATE, CAMERAS, True, True), ["stop"], TOKENIZER)
    layout = lay_out(prompt, image_tokens=2, pictures=1, action_tokens=1, frames=2)
    text = prompt.ids.shape[1]
    words = torch.arange(text).view(1, -1, 1).float()
    images = torch.arange(100, 108).view(1, 4, 2, 1).float()
    state, actions = torch.tensor([[[200.0], [201.0]]]), torch.tensor([[[300.0], [301.0]]])
    found = compose(layout, words, images, state, actions).embeds[0, :, 0].tolist()
    inner = list(range(1, text - 1))
    assert found == [
        *[0, 100, 101, 102, 103, 200, *inner, 300, text - 1],
        *[0, 104, 105, 106, 107, 201, *inner, 301, text - 1],
    ]


def test_leaf_embeddings_are_composed_out_of_place() -> None:
    prompt = encode_prompts(parse_prompt(TEMPLATE, CAMERAS, True, True), ["stop"], TOKENIZER)
    layout = lay_out(prompt, image_tokens=2, pictures=1, action_tokens=1)
    leaves = [
        torch.randn(shape, requires_grad=True)
        for shape in ((1, prompt.ids.shape[1], 4), (1, 2, 2, 4), (1, 1, 4), (1, 1, 4))
    ]
    before = [leaf.detach().clone() for leaf in leaves]
    compose(layout, *leaves).embeds.sum().backward()
    for leaf, old in zip(leaves, before, strict=True):
        assert torch.equal(leaf.detach(), old)
        assert leaf.grad is not None
        assert bool((leaf.grad == 1.0).all())


@pytest.mark.parametrize("text", ["", "  ", "stop</s>", "<pad>go", "say <s> twice"])
def test_an_instruction_never_passes_for_a_part_of_the_template(text: str) -> None:
    parts = parse_prompt("<s>{front}{instruction}{action}</s>", ("front",), False, True)
    with pytest.raises(ValueError, match="instruction"):
        encode_prompts(parts, [text], TOKENIZER)


def test_an_over_long_instruction_is_refused_and_never_cut() -> None:
    policy = build(document("kosmos2", "lstm", "post"))
    encoded = policy.encoder(policy.model, ["go " * 300])
    images = torch.zeros(1, 1, 1, 5, 32)
    with pytest.raises(ValueError, match="longer than the 256 allowed"):
        policy.model.backbone_features(images, None, encoded.prompt)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"readout": None}, "readout must be null"),
        ({"head": {"type": "discrete", "bins": 9, "end": 310}}, "readout must be null"),
        ({"history": "none"}, "window of 1"),
        ({"cameras": ["front", "hand"]}, "hand"),
        ({"state": [{"name": "v", "unit": "m/s", "mean": 0.0, "std": 1.0}]}, "state"),
        ({"prompt": "<s>{front}{instruction}"}, "action"),
        ({"head": {"type": "diffusion"}}, "diffusion"),
        ({"backbone": {"type": "kosmos3", "config": {"model_type": "kosmos-2"}, "language_head": False}}, "kosmos3"),
        (
            {"fusion": {"type": "sum", "features": ["backbone", "clip_text"], "hidden_size": 8, "dropout": 0.0}},
            "clip must be given",
        ),
        ({"schema_version": 1}, "schema_version"),
    ],
)
def test_parts_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    content = {**document("kosmos2", "lstm", "post"), **changes}
    with pytest.raises(ValidationError, match=message):
        PolicyConfig.model_validate(content)


def test_spoken_actions_need_a_language_head() -> None:
    content = document("kosmos2", "discrete", "post")
    content["backbone"] = {**content["backbone"], "language_head": False}
    with pytest.raises(ValidationError, match="language_head"):
        PolicyConfig.model_validate(content)


def test_a_special_token_that_the_tokenizer_does_not_know_is_named() -> None:
    content = document("kosmos2", "lstm", "post", prompt="<s>{front}<grounding>{instruction}{action}")
    config = PolicyConfig.model_validate(content)
    with pytest.raises(ValueError, match="'<grounding>' is no token"):
        InstructionEncoder(config, TOKENIZER, None)
