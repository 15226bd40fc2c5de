"""Short rooms through a real policy_node, over DDS and in real time."""

import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip("rclpy")

from mobile_vla_ros.evaluation import through_node
from mobile_vla_ros.evaluation.node_run import FRAME_PERIOD, RealTimeRoom
from mobile_vla_ros.evaluation.node_series import NodeSeries
from mobile_vla_ros.evaluation.series import Opening
from mobile_vla_ros.evaluation.through_node import NodeDriving, evaluate_through_node
from mobile_vla_ros.share import SHIPPED_POLICY, share_path
from mobile_vla_ros.sim.task import Task, TaskKind, sample_episode
from mobile_vla_ros.sim.world import World


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeSeries]:
    scenes = [sample_episode("evaluate", 0, room)[0] for room in (0, 1)]
    tasks = Task(TaskKind.TURN_LEFT, "turn left"), Task(TaskKind.STOP, "stop")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
            patch.setenv(name, "0")  # so that what is set there does not outlive the test
        patch.setenv("ROS_LOG_DIR", str(tmp_path_factory.mktemp("log")))
        patch.setattr(through_node, "sample_series", lambda episodes, seed: list(zip(scenes, tasks, strict=True)))
        (found,) = evaluate_through_node(Opening(share_path(SHIPPED_POLICY)), NodeDriving(2, ()), seed=0)
        yield found


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_rooms_are_driven_by_the_node_and_judged(series: NodeSeries) -> None:
    turn, stop = series.runs
    assert (turn.result.kind, turn.result.instruction) == ("turn_left", "turn left")
    assert turn.result.reached or series.too_slow, (turn, series.too_slow)
    assert turn.steps.angular_z.change > 0.0
    assert turn.steps.joins == len(turn.latencies) > 0
    # Armed anew in a room of its own, it does not go on with what it was told before.
    assert stop.result.reached
    assert stop.result.driven < 0.1
    assert 3.0 <= stop.result.seconds < 10.0


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_every_command_is_within_the_limits_and_every_frame_is_counted(series: NodeSeries) -> None:
    steps, transport = series.steps, series.transport
    assert steps.beyond == ()
    assert steps.commands >= 15 * series.pace.wall
    assert series.pace.frames >= 8 * series.pace.simulated
    assert 0 < transport.received <= transport.sent
    assert all(0.0 < latency < 1.0 for run in series.runs for latency in run.latencies)


class Shown:
    """In the place of the node: what was published, and when."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, float]] = []  # s, system clock, published and stamped

    def show(self, rgb: np.ndarray, stamp: float) -> None:
        assert rgb.shape == (120, 160, 3)
        self.frames.append((time.time(), stamp))


def shown(longest: float) -> list[tuple[float, float]]:
    scene, _ = sample_episode("evaluate", 0, 0)
    rng, link = np.random.default_rng(0), Shown()
    with closing(World(scene)) as world:
        room = RealTimeRoom(world, link, lambda: float(rng.uniform(0.0, longest)))  # type: ignore[arg-type]
        begin = time.monotonic()
        for _ in room.ticks():
            if world.time >= 1.5:
                break
        pace = room.pace()
    assert time.monotonic() - begin >= 1.4
    assert pace.frames == len(link.frames)
    assert pace.simulated == pytest.approx(1.5)
    return link.frames


def test_frames_that_are_held_back_keep_stamps_and_order() -> None:
    frames = shown(0.3)
    stamps = [stamp for _, stamp in frames]
    held = [published - stamp for published, stamp in frames]
    assert len(frames) >= 12
    # A room that falls behind real time and does not catch up skips some of it.
    assert all(gap > FRAME_PERIOD - 1e-3 for gap in np.diff(stamps))
    assert min(held) >= 0.0
    assert max(held) > 0.15
    assert max(held) > 2.0 * min(held)


def test_frames_that_are_not_held_back_come_at_once() -> None:
    frames = shown(0.0)
    assert len(frames) in (15, 16)
    assert np.median([published - stamp for published, stamp in frames]) < 0.1
