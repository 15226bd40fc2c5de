"""What asks a policy_server in the place of a policy: which answers count, and as what."""

from dataclasses import replace

import pytest

pytest.importorskip("sensor_msgs")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from mobile_vla_ros.inference.worker import BadFrame, Failure, Planned, Request
from mobile_vla_ros.remote.client import RemoteWorker
from mobile_vla_ros.remote.words import Answered, Asked, Offer

OFFER = Offer("first", "id", "", 0.2, ("front", "hand"), {}, {"linear_x_max": 0.5}, {})


class Bench:
    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.told = 0
        self.worker = RemoteWorker(self.asked.append, "/node", OFFER, self._tell)

    def _tell(self) -> None:
        self.told += 1

    def submit(self, second: int, instruction_id: int = 1) -> Asked:
        image, hand = Image(), Image()
        image.header.stamp = Time(sec=second, nanosec=5)
        hand.header.stamp = Time(sec=second, nanosec=7)
        self.worker.submit(Request(image, float(second), "go", instruction_id, 1.0, {"hand": hand}))
        return self.asked[-1]

    def answer(self, asked: Asked, **values: object) -> Answered:
        words = Answered(asked.client, asked.run, asked.instruction_id, asked.stamp, "first", dt=0.2, stop=(0.5,))
        answer = replace(words, velocity=((0.1, 0.2),), **values)
        self.worker.take(answer)
        return answer


def test_frames_are_named_by_their_exact_stamps() -> None:
    asked = Bench().submit(3)
    assert asked.frames == {"front": 3_000_000_005, "hand": 3_000_000_007}
    assert (asked.stamp, asked.instruction, asked.instruction_id) == (3.0, "go", 1)


def test_a_plan_comes_back() -> None:
    bench = Bench()
    bench.answer(bench.submit(3))
    (answer,) = bench.worker.answers()
    assert isinstance(answer, Planned)
    assert (answer.plan.stamp, answer.plan.instruction_id, answer.plan.dt) == (3.0, 1, 0.2)
    assert answer.plan.velocity.tolist() == [pytest.approx([0.1, 0.2])]
    assert bench.told == 1
    assert bench.worker.answers() == []


def test_frames_that_were_skipped_are_counted_and_their_answers_do_not_count() -> None:
    bench = Bench()
    first, second = bench.submit(3), bench.submit(4)
    bench.answer(second)
    bench.answer(first)
    assert bench.worker.replaced == 1
    assert [answer.plan.stamp for answer in bench.worker.answers() if isinstance(answer, Planned)] == [4.0]


@pytest.mark.parametrize(
    "values", [{"client": "another"}, {"run": "former"}, {"stamp": 9.0}, {"session": "not heard of"}]
)
def test_answers_to_others_do_not_count(values: dict[str, object]) -> None:
    bench = Bench()
    bench.answer(bench.submit(3), **values)
    assert bench.worker.answers() == []


def test_failures_and_bad_frames_are_told_apart() -> None:
    bench = Bench()
    bench.answer(bench.submit(3), failure="RuntimeError: x")
    bench.answer(bench.submit(4), failure="empty", bad_frame=True, camera="hand")
    assert bench.worker.answers() == [Failure("RuntimeError: x", 1), BadFrame("empty", 4.0, "hand")]


def test_a_server_that_was_started_anew_has_no_history_of_this_instruction() -> None:
    bench = Bench()
    bench.answer(bench.submit(3))
    assert bench.worker.hear(replace(OFFER, session="second", description="on another machine"))
    bench.answer(bench.submit(4), session="second")
    bench.answer(bench.submit(5, instruction_id=2), session="second")
    first, lost, new = bench.worker.answers()
    assert isinstance(first, Planned)
    assert isinstance(lost, Failure)
    assert "started anew" in lost.reason
    assert isinstance(new, Planned)


@pytest.mark.parametrize("values", [{"identity": "other"}, {"dt": 0.1}, {"limits": {"linear_x_max": 0.6}}])
def test_a_server_with_another_policy_is_not_followed_until_it_has_the_same_again(values: dict[str, object]) -> None:
    bench = Bench()
    for session in ("second", "third"):  # started anew twice
        assert not bench.worker.hear(replace(OFFER, session=session, **values))
        bench.answer(bench.submit(3), session=session)
        (answer,) = bench.worker.answers()
        assert isinstance(answer, Failure)
        assert "another policy" in answer.reason
    assert bench.worker.hear(replace(OFFER, session="fourth"))
    bench.answer(bench.submit(4, instruction_id=2), session="fourth")
    (answer,) = bench.worker.answers()
    assert isinstance(answer, Planned)


def test_what_the_network_takes_is_not_the_policys_time() -> None:
    bench = Bench()
    bench.answer(bench.submit(3), decoding=0.01, planning=0.05)
    (answer,) = bench.worker.answers()
    assert isinstance(answer, Planned)
    assert answer.seconds == pytest.approx(0.06)


def test_an_answer_in_another_rhythm_is_a_failure() -> None:
    bench = Bench()
    bench.answer(bench.submit(3), dt=1e5)
    bench.answer(bench.submit(4), dt=0.1)
    reasons = [answer.reason for answer in bench.worker.answers() if isinstance(answer, Failure)]
    assert reasons == [
        "policy server: it answers with dt 100000 s, and has offered 0.2 s",
        "policy server: it answers with dt 0.1 s, and has offered 0.2 s",
    ]


def test_what_cannot_be_understood_is_a_failure_of_what_was_asked_last() -> None:
    bench = Bench()
    bench.worker.fail("malformed")  # nothing was asked yet
    assert bench.worker.answers() == []
    bench.submit(3, instruction_id=7)
    bench.worker.fail("malformed")
    assert bench.worker.answers() == [Failure("malformed", 7)]
    assert bench.told == 1


def test_after_close_nothing_is_told() -> None:
    bench = Bench()
    asked = bench.submit(3)
    bench.worker.close(1.0)
    bench.answer(asked)
    assert not bench.worker.alive
    assert bench.told == 0
