"""policy_server in this process: which requests it answers, and with which frames."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import String
from still_policy import StillPolicy

from mobile_vla_ros.faults.policy import DT, LIMITS
from mobile_vla_ros.images import to_image
from mobile_vla_ros.inference.loading import Loaded
from mobile_vla_ros.remote.server import PolicyServer
from mobile_vla_ros.remote.words import Answered, Asked, Offer, decode, encode

PICTURE = np.zeros((4, 4, 3), np.uint8)


class Heard:
    """Stands for a publisher."""

    def __init__(self) -> None:
        self.answers: list[Answered] = []

    def publish(self, message: String) -> None:
        self.answers.append(decode(Answered, message))


class Server:
    def __init__(self) -> None:
        self.changed = ""
        self.node = PolicyServer(lambda: Loaded(StillPolicy(), "still", "nothing", lambda: self.changed))
        self.heard = Heard()
        self.node._answer = self.heard

    def ask(self, second: int, client: str = "/c", run: str = "r", number: int = 1, **frames: int) -> None:
        stamps = frames or {"camera": second * 1_000_000_000}
        self.node._on_request(encode(Asked(client, run, "go", number, float(second), stamps)))

    def see(self, second: int, picture: Image | None = None) -> None:
        self.node._on_image("camera", picture or to_image(PICTURE, Time(sec=second), "camera"))

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < end
            self.node._publish_answers()
            time.sleep(0.005)


@pytest.fixture
def server(alone: None) -> Iterator[Server]:
    rclpy.init(args=["--ros-args", "-p", "image_transport:=raw"])
    server = Server()
    yield server
    assert server.node.close()
    server.node.destroy_node()
    rclpy.shutdown()


def test_a_policy_whose_files_were_changed_answers_nothing(server: Server) -> None:
    server.changed = "model.safetensors was changed"
    for second in (3, 4):
        server.see(second)
        server.ask(second)
    server.until(lambda: len(server.heard.answers) == 2)
    assert {answer.failure for answer in server.heard.answers} == {"policy server: model.safetensors was changed"}


@pytest.mark.parametrize("frame_first", [True, False])
def test_a_step_is_made_with_the_frame_that_is_asked_for(server: Server, frame_first: bool) -> None:
    acts: list[Callable[[], None]] = [lambda: server.see(3), lambda: server.ask(3)]
    for act in acts if frame_first else reversed(acts):
        act()
    server.see(4)  # nobody asks for it
    server.until(lambda: bool(server.heard.answers))
    (answer,) = server.heard.answers
    assert (answer.client, answer.stamp, answer.instruction_id, answer.failure) == ("/c", 3.0, 1, "")
    assert (answer.dt, len(answer.velocity), len(answer.stop)) == (DT, 3, 3)
    assert answer.decoding >= 0.0 <= answer.planning


def test_a_request_whose_frame_does_not_come_gives_way_to_a_newer_one(server: Server) -> None:
    server.ask(3)
    server.ask(4)
    server.see(4)
    server.until(lambda: bool(server.heard.answers))
    server.see(3)
    assert [answer.stamp for answer in server.heard.answers] == [4.0]


def test_frames_that_do_not_come_are_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_vla_ros.remote.server.FRAME_TIMEOUT", 0.0)
    server.see(2)
    server.ask(3)
    time.sleep(0.01)
    server.ask(4)
    answer = server.heard.answers[-1]
    assert answer.bad_frame  # the node goes on when they come
    assert answer.failure == "policy server: it does not get the frames; it has 1 of /camera/image_raw"


def test_a_frame_of_before_the_clock_went_back_does_not_pass_for_one_of_now(server: Server) -> None:
    server.see(3)
    server.see(4)
    server.see(2)
    server.ask(3)
    assert server.node._pending is not None


def test_the_answer_to_another_instruction_is_not_passed_on_as_one_to_this(server: Server) -> None:
    server.see(3)
    server.ask(3)
    server.ask(3, number=2)
    server.until(lambda: bool(server.heard.answers))
    assert {answer.instruction_id for answer in server.heard.answers} == {2}


def test_a_frame_that_cannot_be_decoded_is_told_apart(server: Server) -> None:
    bad = Image(height=1, width=1, encoding="32FC1", step=4, data=[0] * 4)
    bad.header.stamp = Time(sec=3)
    server.see(3, bad)
    server.ask(3)
    server.until(lambda: bool(server.heard.answers))
    (answer,) = server.heard.answers
    assert answer.bad_frame
    assert "'32FC1' is not supported" in answer.failure


def test_other_cameras_are_refused(server: Server) -> None:
    server.ask(3, front=3, hand=3)
    (answer,) = server.heard.answers
    assert answer.failure == "policy server: cameras ['front', 'hand'], expected ['camera']"


def test_one_node_is_served_at_a_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.see(3)
    server.ask(3)
    server.until(lambda: bool(server.heard.answers))
    server.ask(3, client="/d")
    assert server.heard.answers[1].client == "/d"
    assert server.heard.answers[1].failure == "policy server: it serves /c"
    monkeypatch.setattr("mobile_vla_ros.remote.server.CLIENT_TIMEOUT", 0.0)
    server.ask(3, client="/d")
    server.until(lambda: len(server.heard.answers) == 3)
    assert server.heard.answers[2].failure == ""


def test_what_is_not_understood_is_not_answered(server: Server) -> None:
    server.node._on_request(String(data="please"))
    assert server.heard.answers == []


def test_the_offer_has_all_that_a_controller_needs(server: Server) -> None:
    offer = decode(Offer, encode(server.node._make_offer()))
    assert (offer.identity, offer.description, offer.dt, offer.cameras) == ("still", "nothing", DT, ("camera",))
    assert offer.topics == {"camera": "/camera/image_raw"}
    assert offer.limits["linear_x_max"] == LIMITS.linear_x_max
    assert set(offer.ranges) == {"linear_x", "angular_z"}
