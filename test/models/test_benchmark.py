"""The benchmark compares like with like."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from backbone.families import FAMILIES

from mobile_vla_models.benchmark import pre, spoken, subject
from mobile_vla_models.spoken import speak_actions


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    content: dict[str, Any] = FAMILIES["kosmos2"]["config"]
    small = {
        **content,
        "text_config": {**content["text_config"], "vocab_size": 65037},
        "vision_config": {**content["vision_config"], "image_size": 224, "patch_size": 56},
    }
    monkeypatch.setattr(subject, "_kosmos2", lambda: small)


def test_both_ways_of_speaking_say_the_same() -> None:
    policy = subject.subject("discrete", "none")
    with torch.inference_mode():
        images = policy.model.encode_pictures(policy.frames(1)[0])[None, None]
        prompt = policy.instruction.prompt
        sequence = policy.model.sequence(prompt, images, None, None, together=False, open_ended=True)
        assert torch.equal(speak_actions(policy.model, sequence).ids, spoken.speak_anew(policy.model, images, prompt))


def test_every_line_is_measured() -> None:
    lines = [*spoken.spoken_actions(1), *pre.frames_in_one_sequence(1)]
    assert [line.unit for line in lines] == ["ms"] * 3
    assert all(line.without > 0.0 and line.kept > 0.0 for line in lines)
