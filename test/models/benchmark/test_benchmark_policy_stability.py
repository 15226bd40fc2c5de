"""Growth and drift are found where they are, and not where they are not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from mobile_vla_models.benchmark.policy import stability
from mobile_vla_models.benchmark.policy.stability import Stability, run_steadily, throttling
from policies import build, document, pictures

LEAK = 20_000  # bytes a step
STEPS = 2000
BOUND = 200  # bytes a step; the least tensor that it might keep is larger, with what torch keeps of it


class Clock:
    """Time that passes only where a step says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("leaks", "steps"), [(False, STEPS), (True, STEPS // 5)])
def test_a_policy_does_not_grow_unless_it_keeps_something_of_each_step(leaks: bool, steps: int) -> None:
    policy = build(document("kosmos2", "lstm", "post"))
    kept: list[object] = []
    if leaks:
        policy.model.head.register_forward_hook(lambda *_: kept.append(torch.ones(LEAK // 4)))  # type: ignore[union-attr]
    shown = pictures(policy.config, 1, 8)[0, :, 0]
    number = iter(range(STEPS + 200))
    found = run_steadily(lambda: policy.step(shown[next(number) % 8], "stop"), steps)
    assert found.steps == steps
    assert (found.growth > BOUND * steps) == leaks


def test_a_leak_is_found() -> None:
    kept: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
    found = run_steadily(lambda: kept.append(np.ones(LEAK, np.uint8)), STEPS)
    assert len(kept) == STEPS + 200
    assert found.growth > 0.9 * LEAK * STEPS


def test_steps_that_grow_slower_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(stability, "perf_counter", clock)
    taken: Iterator[int] = iter(range(1000))

    def step() -> None:
        clock.now += 0.010 if next(taken) < 50 else 0.015

    found = run_steadily(step, 100, warm_up=0)
    assert (found.first, found.last) == pytest.approx((10.0, 15.0))
    assert found.drift == pytest.approx(0.5)
    said = throttling(found)
    assert said is not None
    assert "50% more" in said


def test_warm_up_is_no_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(stability, "perf_counter", clock)
    taken: Iterator[int] = iter(range(1000))
    done: list[None] = []

    def step() -> None:
        clock.now += 0.1 if next(taken) < 20 else 0.01

    found = run_steadily(step, 100, warm_up=20, done=lambda: done.append(None))
    assert found.drift == pytest.approx(0.0)
    assert throttling(found) is None
    assert len(done) == 120


def test_throttling_begins_above_a_fifth() -> None:
    assert throttling(Stability(10, 0, 0, 10.0, 11.9)) is None
    assert throttling(Stability(10, 0, 0, 10.0, 12.1)) is not None


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="9 steps: expected at least 10"):
        run_steadily(lambda: None, 9)
