import math
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist, Vector3
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from std_msgs.msg import String

from mobile_vla_models.data.configuration import Rosbag2Source
from mobile_vla_models.data.rosbag2.find import find_bags
from mobile_vla_models.data.rosbag2.read import open_rosbag2
from mobile_vla_ros.black_box import BlackBox, BlackBoxConfig, Topic
from mobile_vla_ros.black_box.ring import Entry, Ring
from mobile_vla_ros.images import to_image

CAMERA, COMMAND, INSTRUCTION = "/camera/image_raw", "/cmd_vel", "/instruction"
TOPICS = (
    Topic(CAMERA, "sensor_msgs/msg/Image"),
    Topic(COMMAND, "geometry_msgs/msg/Twist"),
    Topic(INSTRUCTION, "std_msgs/msg/String", latched=True),
    Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray"),
)
BEGIN = 1_700_000_000 * 10**9  # ns
FRAME = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
WAIT = 60.0  # s at most


def entry(number: int, size: int = 10, topic: str = COMMAND) -> Entry:
    return Entry(topic, b"", BEGIN + number, float(number), size)


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(0, 60)), max_size=20))
def test_the_ring_is_bounded_by_time_and_bytes_and_keeps_the_newest(added: list[tuple[float, int]]) -> None:
    ring, steady, everything = Ring(5.0, 100, []), 0.0, []
    for number, (wait, size) in enumerate(added):
        steady += wait
        everything.append(Entry(COMMAND, b"", number, steady, size))
        ring.add(everything[-1])
        kept = ring.entries()
        assert kept == everything[len(everything) - len(kept) :]
        assert sum(one.size for one in kept) <= 100
        assert all(steady - one.steady <= 5.0 for one in kept)
        if len(kept) < len(everything):  # nothing that had room is gone
            left = everything[-len(kept) - 1]
            assert steady - left.steady > 5.0 or sum(one.size for one in everything[-len(kept) - 1 :]) > 100


def test_what_is_latched_stays_and_counts_as_received_with_the_first() -> None:
    ring = Ring(3.0, 1000, [INSTRUCTION])
    said = [entry(number, topic=INSTRUCTION) for number in (0, 1, 9)]
    for one in (*said[:2], entry(7), said[2], entry(10)):
        ring.add(one)
    assert ring.entries() == [replace(said[1], received=BEGIN + 7), entry(7), said[2], entry(10)]


class Log:
    """What the black box calls back."""

    def __init__(self) -> None:
        self.written: list[Path] = []
        self.failures: list[str] = []
        self._called = threading.Semaphore(0)

    def on_written(self, path: Path) -> None:
        self.written.append(path)
        self._called.release()

    def on_failure(self, reason: str) -> None:
        self.failures.append(reason)
        self._called.release()

    def wait(self) -> None:
        assert self._called.acquire(timeout=WAIT)


Start = Callable[..., BlackBox]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def start(tmp_path: Path, log: Log) -> Iterator[Start]:
    boxes: list[BlackBox] = []

    def make(folder: Path = tmp_path / "trips", **changes: float) -> BlackBox:
        settings = {"before": 60.0, "after": 0.0, "pause": 0.0, **changes}
        config = BlackBoxConfig(folder, **settings)  # type: ignore[arg-type]
        boxes.append(BlackBox(config, TOPICS, on_written=log.on_written, on_failure=log.on_failure))
        return boxes[-1]

    yield make
    for box in boxes:
        box.close(WAIT)


def drive(box: BlackBox, ticks: range) -> None:
    """Ten frames and commands a second."""
    for tick in ticks:
        received = BEGIN + tick * 10**8
        second, nanosecond = divmod(received, 10**9)
        box.add(CAMERA, to_image(FRAME + tick, Time(sec=second, nanosec=nanosecond), "camera"), received + 1000)
        box.add(COMMAND, Twist(linear=Vector3(x=0.1 * tick)), received + 2000)


def trip(box: BlackBox) -> None:
    """Trip it as soon as the recording before is over, which is a moment after it was told of."""
    end = time.monotonic() + WAIT
    while not box.trip("stalled"):
        assert time.monotonic() < end
        time.sleep(0.005)


def source(path: Path) -> Rosbag2Source:
    return Rosbag2Source.model_validate({"type": "rosbag2", "path": path, "cameras": {"front": CAMERA}})


def test_our_own_reader_makes_an_episode_of_what_was_before_the_trip(start: Start, log: Log) -> None:
    box = start()
    box.add(INSTRUCTION, serialize_message(String(data="go to the box")), BEGIN)
    drive(box, range(5))
    assert box.trip("camera: silent")
    log.wait()
    assert log.failures == []
    (path,) = log.written
    (episode,), _ = open_rosbag2(source(path.parent))
    assert episode.instruction == "go to the box"
    np.testing.assert_allclose(episode.actions.values[:, 0], [0.0, 0.1, 0.2, 0.3, 0.4], atol=1e-6)
    np.testing.assert_allclose(episode.cameras["front"].stamps, BEGIN * 1e-9 + 0.1 * np.arange(5))
    for tick, frame in enumerate(episode.cameras["front"].read(range(5))):
        np.testing.assert_array_equal(frame, FRAME + tick)


def test_rosbags_reads_it_with_the_reason_and_the_silent_topics(start: Start, log: Log) -> None:
    box = start()
    warning = DiagnosticStatus(level=DiagnosticStatus.WARN, name="policy", message="slow")
    box.add("/diagnostics", DiagnosticArray(status=[warning]), BEGIN)
    box.trip("policy: too slow")
    log.wait()
    with AnyReader(log.written) as reader:
        assert {connection.topic: connection.msgcount for connection in reader.connections} == {
            CAMERA: 0,
            COMMAND: 0,
            INSTRUCTION: 0,
            "/diagnostics": 1,
        }
        ((connection, received, raw),) = reader.messages()
        assert received == BEGIN
        assert reader.deserialize(raw, connection.msgtype).status[0].message == "slow"
    metadata = (log.written[0] / "metadata.yaml").read_text()
    assert "reason: 'policy: too slow'" in metadata
    assert "dropped_messages: '0'" in metadata


def test_it_goes_on_after_the_trip_and_ends_with_the_node(start: Start, log: Log) -> None:
    box = start(after=600.0)
    box.add(INSTRUCTION, String(data="go to the box"), BEGIN)
    drive(box, range(3))
    assert box.trip("stalled")
    drive(box, range(3, 6))
    assert not box.trip("stalled again")
    assert not box.trip("emergency stop", urgent=True)
    assert log.written == []
    box.close(WAIT)
    metadata = (log.written[0] / "metadata.yaml").read_text()
    assert "reason: 'stalled; then: emergency stop'" in metadata
    (episode,), _ = open_rosbag2(source(log.written[0]))
    assert len(episode.actions.values) == 6
    assert not box.trip("too late")


def test_only_what_is_urgent_is_recorded_in_the_pause_after_a_recording(start: Start, log: Log) -> None:
    box = start(pause=600.0)
    drive(box, range(2))
    assert box.trip("stalled")
    log.wait()
    assert not box.trip("stalled")
    end = time.monotonic() + WAIT
    while not box.trip("emergency stop", urgent=True):
        assert time.monotonic() < end
    log.wait()
    assert len(log.written) == 2


def test_it_ends_by_itself_after_the_trip(start: Start, log: Log) -> None:
    box = start(after=0.05)
    drive(box, range(2))
    assert box.trip("stalled")
    log.wait()
    drive(box, range(2, 4))
    with AnyReader(log.written) as reader:
        assert reader.message_count == 4


def test_what_has_no_room_after_the_trip_is_counted(start: Start, log: Log) -> None:
    box = start(after=600.0, max_bytes=1000)
    box.trip("stalled")
    drive(box, range(10))  # 144 bytes a picture and 52 a command
    box.close(WAIT)
    with AnyReader(log.written) as reader:
        kept = reader.message_count
        assert sum(len(raw) for _, _, raw in reader.messages()) < 1500  # headers of pictures come on top
    assert 0 < kept < 20
    assert f"dropped_messages: '{20 - kept}'" in (log.written[0] / "metadata.yaml").read_text()


def test_the_oldest_recordings_are_removed_and_nothing_else(start: Start, log: Log, tmp_path: Path) -> None:
    folder = tmp_path / "trips"
    (folder / "trip_of_somebody").mkdir(parents=True)
    (folder / ".partial" / "trip_0" / "half").mkdir(parents=True)
    box = start(keep=2)
    for number in range(4):
        box.add(INSTRUCTION, String(data=str(number)), BEGIN + number)
        trip(box)
        log.wait()
    assert find_bags(folder) == log.written[2:]
    assert sorted(found.name for found in folder.iterdir()) == [
        *(path.name for path in log.written[2:]),
        "trip_of_somebody",
    ]


def test_a_clock_that_begins_anew_does_not_remove_the_newest(start: Start, log: Log, tmp_path: Path) -> None:
    later = tmp_path / "trips" / "trip_29991231_000000_000000"
    later.mkdir(parents=True)
    (later / "metadata.yaml").touch()
    box = start(keep=1)
    box.trip("again")
    log.wait()
    assert log.failures == []
    assert [found.name for found in (tmp_path / "trips").iterdir()] == [log.written[0].name]


def test_two_trips_have_a_pause_between_them(start: Start, log: Log) -> None:
    box = start(pause=600.0)
    assert box.trip("stalled")
    log.wait()
    assert not box.trip("stalled again")


def test_a_folder_that_cannot_be_written_is_told_once(start: Start, log: Log, tmp_path: Path) -> None:
    folder = tmp_path / "trips"
    folder.write_text("in the way")
    box = start()

    for _ in range(4):
        trip(box)
    log.wait()
    (failure,) = log.failures
    assert str(folder) in failure
    box.close(WAIT)
    folder.unlink()
    box = start()
    trip(box)
    log.wait()
    assert len(log.written) == 1
    box.close(WAIT)
    assert len(log.failures) == 1


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing more into a file fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing_behind_and_ends_nothing(start: Start, log: Log, tmp_path: Path) -> None:
    box = start()
    large = to_image(np.zeros((600, 600, 3), np.uint8), Time(), "camera")
    box.add(CAMERA, large, BEGIN)
    with largest_file(2**18):
        assert box.trip("stalled")
        log.wait()
    assert len(log.failures) == 1
    assert list((tmp_path / "trips").iterdir()) == []
    trip(box)
    log.wait()
    assert len(log.written) == 1


def test_what_is_not_recorded_and_what_cannot_be_is_refused(start: Start, log: Log, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="topic /odom is not recorded, only /camera/image_raw, /cmd_vel"):
        start().add("/odom", Twist(), BEGIN)
    with pytest.raises(ValueError, match="topic /a is of type 'my_msgs/msg/Secret', which is not known"):
        BlackBox(
            BlackBoxConfig(tmp_path),
            [Topic("/a", "my_msgs/msg/Secret")],
            on_written=log.on_written,
            on_failure=log.on_failure,
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"before": math.nan}, "before is nan s"),
        ({"after": -1.0}, "after is -1.0 s"),
        ({"pause": math.inf}, "pause is inf s"),
        ({"before": 0.0, "after": 0.0}, "nothing would be recorded"),
        ({"max_bytes": 0}, "max_bytes is 0: expected 1 or more"),
        ({"keep": 0}, "keep is 0"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"black box: .*{message}"):
        BlackBoxConfig(Path("trips"), **change)  # type: ignore[arg-type]
