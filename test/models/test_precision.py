"""A policy runs in half the bits, all parts of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobile_vla_models import ActionChunk, BackboneError, VLAPolicy
from policies import SENTENCES, TOKENS, build, document, observe

RICH: dict[str, Any] = {
    "cameras": ["front", "hand"],
    "state": [{"name": "speed", "unit": "m/s", "mean": 0.1, "std": 0.3}],
    "prompt": "<s>{hand}{front}{state}{instruction}{action}</s>",
}
RESAMPLER = {"latents": 4, "depth": 1, "heads": 2, "head_dim": 8, "ff_mult": 2}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["kosmos2", "paligemma2", "gemma3", "qwen2_5_vl", "idefics", "llava"])
@pytest.mark.parametrize("head", ["lstm", "gpt"])
def test_every_part_takes_the_precision(family: str, head: str, dtype: str, tmp_path: Path) -> None:
    resampler = None if family == "idefics" else RESAMPLER
    policy = build(document(family, head, "post", **RICH, readout={**TOKENS, "tokens": 2}, resampler=resampler))
    policy.save_pretrained(tmp_path / "policy", {}, "# random\n")
    loaded = VLAPolicy.from_pretrained(tmp_path / "policy", dtype=dtype)
    assert {str(parameter.dtype) for parameter in loaded.model.parameters()} == {f"torch.{dtype}"}
    for exact, chunk in zip(run(policy), run(loaded), strict=True):
        np.testing.assert_allclose(chunk.velocity, exact.velocity, atol=0.05)
        np.testing.assert_allclose(chunk.stop, exact.stop, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["kosmos2", "paligemma2", "gemma3", "qwen2_5_vl", "idefics", "llava"])
def test_spoken_actions_too(family: str, dtype: torch.dtype) -> None:
    """Which word is best may change where two are nearly as good: finite and whole is what can be asked."""
    policy = build(document(family, "discrete", "post", **RICH, resampler=None))
    exact = run(policy)
    policy.model.to(dtype)
    for before, chunk in zip(exact, run(policy), strict=True):
        assert chunk.velocity.dtype == np.float32
        assert np.isfinite(chunk.velocity).all()
        assert chunk.velocity.shape == before.velocity.shape


@pytest.mark.parametrize("family", ["idefics", "qwen3_vl"])
def test_a_resampler_behind_features_that_are_more_than_a_sequence_is_refused(family: str) -> None:
    policy = build(document(family, "lstm", "none", resampler=RESAMPLER))
    with pytest.raises(BackboneError, match="no resampler can follow"):
        policy.step(observe(policy.config, 1, 1).pictures[0, 0, 0].numpy(), SENTENCES[0])


def run(policy: VLAPolicy) -> list[ActionChunk]:
    frames = observe(policy.config, 1, 3)
    assert frames.state is not None
    policy.reset()
    return [
        policy.step(pictures[0], SENTENCES[0], state, {"hand": pictures[1]})
        for pictures, state in zip(frames.pictures[0].numpy(), frames.state[0].numpy(), strict=True)
    ]
