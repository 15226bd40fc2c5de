"""The stages of a step are those that ran, and their times are where the time went."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, sleep
from typing import Any

import pytest
import torch
from tiny import tiny_policy
from torch import Tensor, nn

from mobile_vla_models.benchmark.policy.opened import begin_lean
from mobile_vla_models.benchmark.policy.pictures import INSTRUCTION, decode, jpegs
from mobile_vla_models.benchmark.policy.quantiles import Quantiles
from mobile_vla_models.benchmark.policy.stages import StageTimes, time_stages
from mobile_vla_models.engine.parts import Prepared
from mobile_vla_models.engine.stages import StageClock, TimedParts, rebuilt, timed
from mobile_vla_models.modeling import VLAModel
from policies import SENTENCES, build, document, pictures

ALL = ("decode", "preprocess", "vision", "connector", "clip", "text", "history", "head")
# A module of each stage.
WITHIN: dict[str, Callable[[VLAModel], Any]] = {
    "vision": lambda model: model.backbone.model.vision_model.model.post_layernorm,
    "connector": lambda model: model.backbone.model.image_to_text_projection.dense,
    "clip": lambda model: model.clip and model.clip.clip.visual_projection,
    "text": lambda model: model.backbone.model.text_model.model.layer_norm,
    "history": lambda model: model.fusion,
    "head": lambda model: model.head and model.head.rnn,
}


def test_every_stage_of_a_lean_step() -> None:
    policy = tiny_policy()
    begin = perf_counter()
    times = time_stages(policy, 4, warm_up=0)
    elapsed = perf_counter() - begin
    assert len(times.steps) == 4
    assert tuple(times.stages) == ALL
    assert all(set(step) == set(ALL) for step in times.steps)
    assert all(value > 0.0 for step in times.steps for value in step.values())
    assert sum(times.totals) <= elapsed
    assert times.totals == [pytest.approx(sum(step.values())) for step in times.steps]


@pytest.mark.parametrize("stage", WITHIN)
def test_time_is_charged_to_the_stage_that_takes_it(stage: str) -> None:
    policy = tiny_policy()
    policy.encoder(policy.model, [SENTENCES[0]])
    WITHIN[stage](policy.model).register_forward_hook(lambda *_: sleep(0.1))
    stages = time_stages(policy, 3, warm_up=0).stages
    assert max(stages, key=lambda name: stages[name].p50) == stage


def test_a_policy_without_parts_is_timed_as_a_whole() -> None:
    assert tuple(time_stages(build(document("kosmos2", "lstm", "pre")), 2).stages) == ("decode", "preprocess", "model")


def test_a_step_without_gaps_is_the_sum_of_its_laps(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 11.0, 13.0, 16.0, 20.0])
    monkeypatch.setattr("mobile_vla_models.engine.stages.perf_counter", lambda: next(ticks))
    clock = StageClock(torch.device("cpu"))
    clock.begin()
    for stage in ("decode", "vision", "decode", "head"):
        clock.lap(stage)
    clock.end()
    assert clock.steps == [{"decode": 4.0, "vision": 2.0, "head": 4.0}]


def test_an_engine_that_sees_in_one_piece_has_one_stage_for_it() -> None:
    class Whole:
        def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
            return pixels, pixels

        def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
            return latents

        def clip(self, pixels: Tensor, prepared: Prepared) -> tuple[Tensor, ...]:
            return (pixels,)

        def fuse(self, features: Tensor) -> Tensor:
            return features

        def act(self, window: Tensor) -> tuple[Tensor, Tensor]:
            return window, window

    clock = StageClock(torch.device("cpu"))
    parts = TimedParts(Whole(), clock)
    with parts.watched():
        clock.begin()
        parts.see(torch.zeros(1))
        parts.act(torch.zeros(1))
        clock.end()
    assert list(clock.steps[0]) == ["preprocess", "vision + connector", "history", "head"]


def test_watching_changes_no_answer_and_leaves_nothing_behind() -> None:
    policy = tiny_policy()
    shown = torch.from_numpy(pictures(policy.config, 1, 3)[0].copy())
    plain = begin_lean(policy, INSTRUCTION)
    with timed(begin_lean(policy, INSTRUCTION), StageClock(torch.device("cpu"))) as watched:
        for picture in shown:
            for one, other in zip(plain.step(picture, None), watched.step(picture, None), strict=True):
                assert torch.equal(one, other)
    parts = plain.parts
    assert isinstance(parts.connector, nn.Module)  # type: ignore[attr-defined]
    assert not parts.connector._forward_pre_hooks  # type: ignore[attr-defined]


def test_a_longer_window_keeps_more_frames() -> None:
    policy = tiny_policy()
    longer = rebuilt(begin_lean(policy, INSTRUCTION), lambda parts: parts, 64)
    assert longer._fused.maxlen == 64
    assert policy.config.window == begin_lean(policy, INSTRUCTION)._fused.maxlen == 4


def test_quantiles_are_in_milliseconds() -> None:
    assert Quantiles.of([0.001 * number for number in range(101)]) == Quantiles(50.0, 95.0, 99.0)
    assert StageTimes(({"decode": 1.0, "head": 2.0}, {"decode": 3.0, "head": 2.0})).step.p50 == 4000.0


def test_pictures_are_different_jpegs_of_the_cameras_size() -> None:
    sent = jpegs(3)
    assert len(set(sent)) == 3
    assert all(jpeg.startswith(b"\xff\xd8") and decode(jpeg).shape == (480, 640, 3) for jpeg in sent)
    with pytest.raises(ValueError, match="no JPEG"):
        decode(b"nothing")
