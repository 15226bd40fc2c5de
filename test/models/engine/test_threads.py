"""The number of threads is measured, and leaves a core free."""

from collections.abc import Iterator

import pytest
import torch

from mobile_vla_models.engine import threads
from mobile_vla_models.engine.threads import candidates, choose_threads, fastest, measure_threads, use_threads


@pytest.fixture(autouse=True)
def _three_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 2})
    yield
    torch.set_num_threads(before)


def test_a_core_is_left_to_the_rest_of_the_robot() -> None:
    assert candidates(cores=1, most=8) == candidates(cores=2, most=8) == [1]
    assert candidates(cores=8, most=16) == [1, 2, 3, 4, 5, 6, 7]
    assert candidates(cores=8, most=3) == [1, 2, 3]


def test_the_fastest_number_of_threads_is_chosen() -> None:
    times = {1: 1.0, 2: 0.6, 3: 0.5, 4: 0.49, 5: 0.7}
    assert fastest(times.__getitem__, list(times), 3) == 3
    # One slow turn does not decide.
    slow = iter([False, False, False, False, True, False, False, False])
    assert fastest(lambda threads: 9.0 if next(slow) else 1.0 / threads, [1, 2], 3) == 2


def test_choosing_leaves_torch_as_it_was() -> None:
    torch.set_num_threads(1)
    seen: list[int] = []
    assert choose_threads(lambda: seen.append(torch.get_num_threads()), 8, steps=1) in (1, 2)
    assert set(seen) == {1, 2}
    assert torch.get_num_threads() == 1


def test_a_number_that_is_asked_for_is_used() -> None:
    assert use_threads(2) == "threads: 2, as asked for"
    assert torch.get_num_threads() == 2


def test_else_a_core_is_left_and_no_more_taken_than_torch_would() -> None:
    torch.set_num_threads(8)
    assert use_threads(0).startswith(
        "threads: 2, so that cameras and control have one of 3 cores (torch's own choice: 8)"
    )
    torch.set_num_threads(1)
    assert use_threads(0).startswith("threads: 1,")


def test_the_measured_number_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "choose_threads", lambda step, most: 1)
    assert measure_threads(lambda: None) == "threads: 1, the fastest of 1 to 2 by measurement"
    assert torch.get_num_threads() == 1
    assert measure_threads(lambda: None) is None
