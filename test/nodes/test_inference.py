import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sensor_msgs")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from mobile_vla_models import ActionChunk
from mobile_vla_ros.control import PolicyStepper
from mobile_vla_ros.images import to_image
from mobile_vla_ros.inference.worker import Answer, BadFrame, Failure, InferenceWorker, Planned, Request

FRAME = to_image(np.zeros((4, 4, 3), np.uint8), Time(), "camera")


class GatedPolicy:
    """Answers when `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.error: BaseException | None = None

    def reset(self) -> None:
        pass

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> ActionChunk:
        self.begun.release()
        assert self.go.wait(30.0)
        if self.error is not None:
            raise self.error
        return ActionChunk.of_base(np.zeros((3, 2), np.float32), np.zeros(3, np.float32), 0.2)


@pytest.fixture
def policy() -> GatedPolicy:
    return GatedPolicy()


def nothing() -> None:
    pass


def start(
    policy: GatedPolicy, warm_up: Callable[[], None] = nothing, answered: Callable[[], None] = nothing
) -> InferenceWorker:
    return InferenceWorker(PolicyStepper(policy, 0.2), warm_up, answered)


@pytest.fixture
def worker(policy: GatedPolicy) -> InferenceWorker:
    return start(policy)


def request(stamp: float, message: Image = FRAME) -> Request:
    return Request(message, stamp, "go", 1, received=time.monotonic())


def collect(worker: InferenceWorker, count: int) -> list[Answer]:
    answers: list[Answer] = []

    def enough() -> bool:
        answers.extend(worker.answers())
        return len(answers) >= count

    wait_until(enough)
    return answers


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_newest_frame_replaces_those_that_wait(policy: GatedPolicy, worker: InferenceWorker) -> None:
    worker.submit(request(1.0))
    assert policy.begun.acquire(timeout=30.0)
    for stamp in (1.2, 1.4, 1.6):
        worker.submit(request(stamp))
    policy.go.set()
    answers = collect(worker, 2)
    assert all(isinstance(answer, Planned) for answer in answers)
    assert [answer.plan.stamp for answer in answers if isinstance(answer, Planned)] == [1.0, 1.6]
    assert worker.replaced == 2
    worker.close(5.0)
    assert not worker.alive


def test_a_worker_says_what_is_wrong_with_its_policy(policy: GatedPolicy) -> None:
    changes = [""]
    worker = InferenceWorker(PolicyStepper(policy, 0.2), nothing, nothing, lambda: changes[-1])
    assert worker.defect() == ""
    changes.append("weights were changed")
    assert worker.defect() == "weights were changed"
    worker.close(5.0)
    assert "has died" in worker.defect()


def test_a_discarded_frame_is_not_answered(policy: GatedPolicy, worker: InferenceWorker) -> None:
    worker.submit(request(1.0))
    assert policy.begun.acquire(timeout=30.0)
    worker.submit(request(1.2))
    worker.discard()
    policy.go.set()
    collect(worker, 1)
    worker.submit(request(1.4))
    (answer,) = collect(worker, 1)
    assert isinstance(answer, Planned)
    assert answer.plan.stamp == 1.4
    assert answer.received <= answer.begun <= answer.decoded <= answer.planned <= time.monotonic()
    assert answer.seconds == answer.planned - answer.begun


def test_what_the_policy_raises_is_an_answer_and_the_worker_goes_on(
    policy: GatedPolicy, worker: InferenceWorker
) -> None:
    policy.go.set()
    policy.error = RuntimeError("out of memory")
    worker.submit(request(1.0))
    assert collect(worker, 1) == [Failure("policy: RuntimeError: out of memory", 1)]
    policy.error = None
    worker.submit(request(1.2))
    assert isinstance(collect(worker, 1)[0], Planned)
    assert worker.alive


def test_a_frame_that_cannot_be_decoded_is_an_answer(policy: GatedPolicy, worker: InferenceWorker) -> None:
    policy.go.set()
    worker.submit(request(1.0, Image(encoding="32FC1", width=4, height=4, step=16, data=[0] * 64)))
    (answer,) = collect(worker, 1)
    assert isinstance(answer, BadFrame)
    assert "32FC1" in answer.reason
    assert (answer.camera, answer.stamp) == ("", 1.0)


def test_the_pictures_of_other_cameras_go_along_by_name(policy: GatedPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, ...]] = []
    step = policy.step
    monkeypatch.setattr(
        policy,
        "step",
        lambda rgb, instruction, state, extra: (seen.append((rgb[0, 0, 0], state, extra)), step(rgb, instruction))[1],
        raising=False,
    )
    worker = start(policy)
    policy.go.set()
    hand = to_image(np.full((2, 3, 3), 7, np.uint8), Time(), "hand")
    worker.submit(replace(request(1.0), extra={"hand": hand}))
    assert isinstance(collect(worker, 1)[0], Planned)
    ((value, state, extra),) = seen
    assert (value, state, list(extra)) == (0, None, ["hand"])
    np.testing.assert_array_equal(extra["hand"], np.full((2, 3, 3), 7, np.uint8))
    worker.submit(replace(request(1.2), extra={"hand": Image(encoding="32FC1", width=4, height=4, step=16)}))
    (answer,) = collect(worker, 1)
    assert isinstance(answer, BadFrame)
    assert (answer.camera, answer.stamp) == ("hand", 1.2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_whose_policy_ends_the_thread_is_not_alive(policy: GatedPolicy, worker: InferenceWorker) -> None:
    policy.go.set()
    policy.error = SystemExit()
    worker.submit(request(1.0))
    wait_until(lambda: not worker.alive)
    assert worker.answers() == []


def test_a_stuck_policy_does_not_hold_closing_back(policy: GatedPolicy, worker: InferenceWorker) -> None:
    worker.submit(request(1.0))
    assert policy.begun.acquire(timeout=30.0)
    worker.close(0.05)
    assert worker.alive
    policy.go.set()


def test_the_thread_that_warms_up_is_the_one_that_steps(policy: GatedPolicy) -> None:
    threads: list[int] = []
    worker = start(policy, lambda: threads.append(threading.get_ident()), lambda: threads.append(threading.get_ident()))
    assert len(threads) == 1  # warm when the constructor returns
    policy.go.set()
    worker.submit(request(1.0))
    wait_until(lambda: len(threads) == 2)
    assert threads[0] == threads[1] != threading.get_ident()


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), SystemExit("it ends")])
def test_what_warming_up_raises_is_raised(policy: GatedPolicy, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        start(policy, fail)


def test_an_answer_is_there_when_it_is_announced(policy: GatedPolicy) -> None:
    announced = threading.Semaphore(0)
    worker = start(policy, answered=lambda: announced.release())
    policy.go.set()
    worker.submit(request(1.0))
    assert announced.acquire(timeout=30.0)
    assert len(worker.answers()) == 1


def test_no_answer_is_announced_after_closing(policy: GatedPolicy) -> None:
    announced = threading.Semaphore(0)
    worker = start(policy, answered=lambda: announced.release())
    worker.submit(request(1.0))
    assert policy.begun.acquire(timeout=30.0)
    worker.close(0.05)
    policy.go.set()
    wait_until(lambda: not worker.alive)
    assert not announced.acquire(blocking=False)
