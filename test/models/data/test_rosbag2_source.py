"""Recordings as episodes: storages, compressions, encodings, clocks, instructions, and what is wrong with them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from runs import (
    SECOND,
    START,
    Message,
    all_frames,
    assert_same_episode,
    drive,
    header,
    image,
    msg,
    noise,
    rgb_image,
    said,
    twist,
    twist_stamped,
    write_messages,
)

from mobile_vla_models import DataError
from mobile_vla_models.data.configuration import InstructionFile, InstructionMetadata, Rosbag2Source
from mobile_vla_models.data.episode import Episode
from mobile_vla_models.data.recording import Recording
from mobile_vla_models.data.sources import list_source, open_source

FRAMES = noise(8)
SENTENCES = ((0, "go to the red box"), (4, "turn back"))


def source(path: Path, **changes: object) -> Rosbag2Source:
    base = {"type": "rosbag2", "path": path, "cameras": {"front": "/cam/image_raw"}, "odometry": "/odom"}
    return Rosbag2Source.model_validate({**base, **changes})


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return write_messages(tmp_path / "run", drive(FRAMES, SENTENCES))


def test_each_sentence_begins_an_episode(bag: Path) -> None:
    first, second = open_source(source(bag))
    assert (first.source, first.instruction) == ("run#0", "go to the red box")
    assert (second.source, second.instruction) == ("run#1", "turn back")
    assert first.end == second.begin
    np.testing.assert_array_equal(all_frames(first.cameras["front"]), FRAMES[:4])
    np.testing.assert_array_equal(all_frames(second.cameras["front"]), FRAMES[4:])
    assert len(first.actions) == len(second.actions) == 8, "the last command of the recording counts"
    assert second.odometry is not None
    assert second.odometry.names == ("linear_x", "linear_y", "angular_z")
    np.testing.assert_array_equal(second.odometry.values[0], np.float32([0.2, 0.01, -0.4]))


def test_header_stamps_and_receive_times_are_kept(bag: Path) -> None:
    episode = open_source(source(bag))[0]
    pictures = episode.cameras["front"]
    np.testing.assert_allclose(pictures.stamps - START / SECOND, [0.0, 0.1, 0.2, 0.3], atol=3e-7)
    assert pictures.received is not None
    np.testing.assert_allclose(pictures.received - pictures.stamps, 0.007000003, atol=5e-7)
    assert episode.odometry is not None
    assert episode.odometry.received is not None
    np.testing.assert_allclose(episode.odometry.received - episode.odometry.stamps, 6e-9, atol=5e-7)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("compression", ["none", "file", "message"])
def test_every_storage_and_compression_gives_the_same(
    bag: Path, tmp_path: Path, storage: str, compression: str
) -> None:
    if (storage, compression) == ("mcap", "message"):
        compression = "storage"  # rosbag2 compresses chunks of MCAP, not its messages
    other = write_messages(tmp_path / "other" / "run", drive(FRAMES, SENTENCES), storage, compression)
    for one, same in zip(open_source(source(bag)), open_source(source(other)), strict=True):
        assert_same_episode(one, same)


def test_a_lone_mcap_file_is_a_recording(bag: Path, tmp_path: Path) -> None:
    folder = write_messages(tmp_path / "folder", drive(FRAMES, SENTENCES), "mcap")
    shutil.move(next(folder.glob("*.mcap")), tmp_path / "run.mcap")
    for path in (tmp_path / "run.mcap", tmp_path / "lone"):
        if path.name == "lone":
            path.mkdir()
            shutil.copy(tmp_path / "run.mcap", path)
        for one, same in zip(open_source(source(bag)), open_source(source(path)), strict=True):
            assert_same_episode(one, same)


def test_frames_are_read_in_the_order_asked_for(bag: Path) -> None:
    pictures = open_source(source(bag))[0].cameras["front"]
    for rows in ([3, 0, 0, 2], [1], [], np.array([2, 1])):
        read = pictures.read(rows)
        assert len(read) == len(rows)
        assert all(np.array_equal(frame, FRAMES[row]) for frame, row in zip(read, rows, strict=True))
    for rows in ([4], [-1]):
        with pytest.raises(IndexError):
            pictures.read(rows)


def test_frames_far_apart_are_looked_up(tmp_path: Path) -> None:
    frames = noise(40)
    for storage in ("sqlite3", "mcap"):
        bag = write_messages(tmp_path / storage, drive(frames), storage)
        pictures = open_source(source(bag))[0].cameras["front"]
        read = pictures.read([39, 0, 20, 21, 9])
        assert all(np.array_equal(frame, frames[row]) for frame, row in zip(read, [39, 0, 20, 21, 9], strict=True))


def commands(count: int = 4) -> list[Message]:
    return [("/cmd_vel", number * SECOND // 10 + 5, twist(0.1, 0.2)) for number in range(count)]


def with_pictures(pictures: list[object]) -> list[Message]:
    messages: list[Message] = [("/instruction", 0, said("go"))]
    messages += [("/cam/image_raw", n * SECOND // 10 + 9, picture) for n, picture in enumerate(pictures)]
    return sorted(messages + commands(), key=lambda message: message[1])


RGB = noise(1, size=(5, 7))[0]
ALPHA = np.full((5, 7, 1), 9, np.uint8)


@pytest.mark.parametrize(
    ("encoding", "stored", "expected"),
    [
        ("rgb8", RGB, RGB),
        ("bgr8", RGB[..., ::-1], RGB),
        ("rgba8", np.concatenate([RGB, ALPHA], axis=2), RGB),
        ("bgra8", np.concatenate([RGB[..., ::-1], ALPHA], axis=2), RGB),
        ("mono8", RGB[..., :1], np.repeat(RGB[..., :1], 3, axis=2)),
    ],
)
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big_endian", [False, True])
def test_raw_encodings(
    tmp_path: Path, encoding: str, stored: np.ndarray, expected: np.ndarray, padding: int, big_endian: bool
) -> None:
    """Rows may be padded and bytes of numbers swapped, in the message and in its header."""
    row = stored.shape[1] * stored.shape[2]
    padded = np.concatenate([stored.reshape(5, row), np.full((5, padding), 77, np.uint8)], axis=1)
    pictures = [
        image(START + n * SECOND // 10, encoding, 5, 7, row + padding, padded.tobytes(), int(big_endian))
        for n in range(3)
    ]
    bag = write_messages(tmp_path / "run", with_pictures(pictures), big_endian=big_endian)
    found = open_source(source(bag, odometry=None))[0].cameras["front"]
    np.testing.assert_allclose(np.diff(found.stamps), 0.1, atol=1e-6)
    np.testing.assert_array_equal(found.read([1])[0], expected, strict=True)


def test_the_last_row_of_a_picture_may_lack_its_padding(tmp_path: Path) -> None:
    padded = np.concatenate([RGB.reshape(5, 21), np.zeros((5, 3), np.uint8)], axis=1).tobytes()[:-3]
    pictures = [image(START + n * SECOND // 10, "rgb8", 5, 7, 24, padded) for n in range(2)]
    bag = write_messages(tmp_path / "run", with_pictures(pictures))
    np.testing.assert_array_equal(open_source(source(bag, odometry=None))[0].cameras["front"].read([0])[0], RGB)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (
            lambda stamp: image(stamp, "mono16", 5, 7, 14, bytes(70)),
            "'mono16' is not supported .* expected one of rgb8, bgr8",
        ),
        (lambda stamp: image(stamp, "rgb8", 5, 7, 20, bytes(105)), "step is 20 bytes: 7 rgb8 pixels need 21"),
        (lambda stamp: image(stamp, "rgb8", 5, 7, 21, bytes(104)), "104 bytes: 5 rows of step 21 need 105"),
        (lambda stamp: image(stamp, "rgb8", 0, 7, 21, b""), "7 x 0"),
    ],
)
def test_pictures_that_cannot_be_used_are_left_out_and_named_if_there_is_no_other(
    tmp_path: Path, picture: object, message: str
) -> None:
    times = [START + n * SECOND // 10 for n in range(6)]
    bad = with_pictures([picture(time) for time in times])  # type: ignore[operator]
    with pytest.raises(
        DataError, match=rf"run holds no episode that can be used: episode run#0 left out: .* 6 of 6 .*: .*{message}"
    ):
        open_source(source(write_messages(tmp_path / "run", bad), odometry=None))
    mixed = with_pictures([picture(t) if n in (1, 4) else rgb_image(t, RGB) for n, t in enumerate(times)])  # type: ignore[operator]
    [episode] = open_source(source(write_messages(tmp_path / "mixed", mixed), odometry=None))
    np.testing.assert_allclose(episode.cameras["front"].stamps * 10 % 10, [0, 2, 3, 5], atol=1e-5)
    [(reason, count)] = episode.left_out["front"].items()
    assert re.search(message, reason)
    assert count == 2


def test_damaged_pictures_of_every_codec_are_left_out(tmp_path: Path) -> None:
    frame = noise(1, size=(48, 64))[0]
    files = {extension: cv2.imencode(extension, frame[..., ::-1])[1].tobytes() for extension in (".jpg", ".png")}
    flipped = bytearray(files[".png"])
    flipped[len(flipped) // 2] ^= 1
    shown = [*files.values(), files[".jpg"][:-40], files[".png"][:-40], bytes(flipped), files[".jpg"][:60], b""]
    messages = with_pictures([])
    for n, data in enumerate([*shown, files[".jpg"]]):
        stamp = START + n * SECOND // 10
        message = msg.sensor_msgs__msg__CompressedImage(
            header=header(stamp), format="", data=np.frombuffer(data, np.uint8)
        )
        messages.append(("/cam/image_raw/compressed", n * SECOND // 10 + 9, message))
    bag = write_messages(tmp_path / "run", sorted(messages, key=lambda message: message[1]))
    [episode] = open_source(source(bag, odometry=None))
    assert sum(episode.left_out["front"].values()) == 5
    assert len(all_frames(episode.cameras["front"])) == 3


def test_an_episode_without_a_usable_picture_is_left_out_beside_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = drive(FRAMES, SENTENCES)
    broken = [
        (topic, time, image(START + time, "16UC1", 5, 7, 14, bytes(70)) if "image" in topic else message)
        for topic, time, message in messages
    ]
    second = [(t.removesuffix("/compressed"), at, m) for t, at, m in broken if at >= 4 * SECOND // 10 - 1_000]
    first = [(t, at, m) for t, at, m in messages if at < 4 * SECOND // 10 - 1_000]
    raw = [(t.removesuffix("/compressed"), at, rgb_image(START + at, RGB) if "image" in t else m) for t, at, m in first]
    bag = write_messages(tmp_path / "run", [*raw, *second])
    [episode] = open_source(source(bag))
    assert episode.instruction == "go to the red box"
    said_so = " ".join(capsys.readouterr().err.split())
    assert "episode run#1 left out: camera front: 4 of 4 frames left out: image encoding '16UC1'" in said_so


def test_an_encoding_can_be_given_where_the_messages_say_none(tmp_path: Path) -> None:
    pictures = [image(START + n * SECOND // 10, "8UC3", 5, 7, 21, RGB[..., ::-1].tobytes()) for n in range(3)]
    bag = write_messages(tmp_path / "run", with_pictures(pictures))
    with pytest.raises(DataError, match=r"'8UC3' is not supported .*set `encoding`, such as bgr8"):
        open_source(source(bag, odometry=None))
    [episode] = open_source(source(bag, odometry=None, encoding="bgr8"))
    np.testing.assert_array_equal(episode.cameras["front"].read([1])[0], RGB)
    with pytest.raises(ValueError, match="encoding 'bgr': expected one of rgb8"):
        source(bag, encoding="bgr")


def test_pictures_larger_than_the_bounds_are_left_out(tmp_path: Path) -> None:
    bag = write_messages(tmp_path / "run", drive(FRAMES))
    with pytest.raises(DataError, match="18 x 12 pixels: expected at most 17 x 4096"):
        open_source(source(bag, max_image_width=17))


def test_stamped_commands_are_at_the_stamp_of_their_header(tmp_path: Path) -> None:
    messages = [message for message in drive(FRAMES) if message[0] != "/cmd_vel"]
    messages += [
        ("/cmd_vel", n * SECOND // 20 + 900, twist_stamped(START + n * SECOND // 20, 0.1, 0.0)) for n in range(6)
    ]
    bag = write_messages(tmp_path / "run", sorted(messages, key=lambda message: message[1]))
    actions = open_source(source(bag))[0].actions
    np.testing.assert_allclose(actions.stamps - START / SECOND, np.arange(6) * 0.05, atol=3e-7)
    assert actions.received is not None
    assert np.all(actions.received > actions.stamps)


def test_messages_that_overtook_each_other_are_put_in_order(tmp_path: Path) -> None:
    stamps = [0, 200, 100, 300]  # ms, in order of reception
    pictures = [rgb_image(START + stamp * 10**6, FRAMES[n]) for n, stamp in enumerate(stamps)]
    episode = open_source(source(write_messages(tmp_path / "run", with_pictures(pictures)), odometry=None))[0]
    np.testing.assert_array_equal(all_frames(episode.cameras["front"]), FRAMES[[0, 2, 1, 3]])
    received = episode.cameras["front"].received
    assert received is not None
    assert np.argsort(received).tolist() == [0, 2, 1, 3], "that they did is still to be seen"


def test_a_whole_recording_may_have_one_sentence(tmp_path: Path) -> None:
    messages = [message for message in drive(FRAMES) if message[0] != "/instruction"]
    bag = write_messages(tmp_path / "run", messages, custom_data={"task": "find the ball"})
    said_by_metadata = source(bag, instruction=InstructionMetadata(type="metadata", key="task"))
    said_by_file = source(bag, instruction=InstructionFile(type="file"))
    (bag / "instruction.txt").write_text("find the ball\n")
    for config in (said_by_metadata, said_by_file):
        [episode] = open_source(config)
        assert (episode.source, episode.instruction) == ("run#0", "find the ball")
        np.testing.assert_array_equal(all_frames(episode.cameras["front"]), FRAMES)
        assert len(episode.actions) == 16
    with pytest.raises(DataError, match=r"run: its custom_data has no 'instruction' among task"):
        open_source(source(bag, instruction=InstructionMetadata(type="metadata")))
    (bag / "instruction.txt").write_text("one\ntwo")
    with pytest.raises(DataError, match=r"instruction\.txt holds 'one\\ntwo', expected one sentence"):
        open_source(said_by_file)


def spoken(path: Path, *sentences: tuple[int, str], **instruction: object) -> list[tuple[str, str, int, int]]:
    """Source, instruction, number of images and of repetitions of each episode of a drive of 8 frames."""
    bag = write_messages(path / "run", drive(FRAMES, sentences))
    found = open_source(source(bag, instruction={"type": "topic", **instruction}))
    return [(one.source, one.instruction, len(one.cameras["front"].stamps), one.repeats) for one in found]


def test_the_same_sentence_again_goes_on_with_its_episode(tmp_path: Path) -> None:
    again = tuple((frame, " go  home\n" if frame % 2 else "\ufeffgo home") for frame in range(8))
    assert spoken(tmp_path, *again) == [("run#0", "go home", 8, 7)]


def test_with_a_timeout_of_zero_each_message_begins_an_episode(tmp_path: Path) -> None:
    found = spoken(tmp_path, (0, "go"), (3, "go"), (6, "go"), same_instruction_timeout=0)
    assert found == [("run#0", "go", 3, 0), ("run#1", "go", 3, 0), ("run#2", "go", 2, 0)]


@pytest.mark.parametrize("between", ["turn", "", "stop", "멈춰!"])
def test_the_same_sentence_after_something_else_begins_another_episode(tmp_path: Path, between: str) -> None:
    found = spoken(tmp_path, (0, "go"), (2, between), (4, "go"))
    assert [one for one in found if one[1] == "go"] == [("run#0", "go", 2, 0), ("run#2", "go", 4, 0)]


@pytest.mark.parametrize(("moves", "count"), [(True, 1), (False, 2)])
def test_the_same_sentence_after_a_while_goes_on_while_the_robot_moves(tmp_path: Path, moves: bool, count: int) -> None:
    messages: list[Message] = [("/instruction", 0, said("go")), ("/instruction", 4 * SECOND, said("go"))]
    for number in range(60):
        time = number * SECOND // 10 + 1
        messages += [("/cam/image_raw", time, rgb_image(START + time, FRAMES[0]))]
        messages += [("/cmd_vel", time, twist(0.1 if moves or number < 20 else 0.0, 0.0))]
    bag = write_messages(tmp_path / "run", sorted(messages, key=lambda message: message[1]))
    instruction = {"type": "topic", "same_instruction_timeout": 1.5}
    assert len(open_source(source(bag, odometry=None, instruction=instruction))) == count


def test_a_sentence_that_means_stop_ends_the_episode_and_is_counted(tmp_path: Path) -> None:
    bag = write_messages(tmp_path / "run", drive(FRAMES, ((0, "go"), (4, "Stop!"), (6, "go back"))))
    found = list_source(source(bag))
    assert [(one.source, one.instruction) for one in found.episodes] == [("run#0", "go"), ("run#2", "go back")]
    assert found.recordings == (Recording("run", images=8, outside=2, stop_sentences=("Stop!",)),)
    kept = open_source(source(bag, instruction={"type": "topic", "stop_sentences": "keep"}))
    assert [one.instruction for one in kept] == ["go", "Stop!", "go back"]


def test_images_that_no_instruction_holds_for_are_counted(tmp_path: Path) -> None:
    (recording,) = list_source(source(write_messages(tmp_path / "run", drive(FRAMES, ((6, "go"),))))).recordings
    assert (recording.images, recording.outside) == (8, 6)


def test_what_was_superseded_at_once_or_is_empty_is_no_episode(tmp_path: Path) -> None:
    sentences = ((0, "go"), (3, "turn"), (4, "turn back"), (6, " "))
    found = open_source(source(write_messages(tmp_path / "run", drive(FRAMES, sentences))))
    assert [(episode.source, episode.instruction) for episode in found] == [("run#0", "go"), ("run#2", "turn back")]
    assert found[1].end == pytest.approx(START / SECOND + 0.6, abs=1e-5), "the empty one ends it"


def test_cameras_by_name(tmp_path: Path) -> None:
    rear = noise(8, seed=1)
    messages = drive(FRAMES)
    messages += [("/rear", n * SECOND // 10 + 50, rgb_image(START + n * SECOND // 10 + 50, rear[n])) for n in range(8)]
    bag = write_messages(tmp_path / "run", sorted(messages, key=lambda message: message[1]))
    [episode] = open_source(source(bag, cameras={"front": "/cam/image_raw", "back": "/rear"}))
    assert list(episode.cameras) == ["front", "back"]
    np.testing.assert_array_equal(all_frames(episode.cameras["front"]), FRAMES)
    np.testing.assert_array_equal(all_frames(episode.cameras["back"]), rear)


def test_a_velocity_that_would_be_lost_is_refused(tmp_path: Path) -> None:
    messages = [*drive(FRAMES), ("/cmd_vel", SECOND, twist(0.1, 0.0, linear_y=0.25))]
    bag = write_messages(tmp_path / "run", messages)
    with pytest.raises(DataError, match=r"commands linear_y 0\.25, which is not among the actions linear_x, angular_z"):
        open_source(source(bag))
    [episode] = open_source(source(bag, actions=("linear_x", "linear_y", "angular_z")))
    assert episode.actions.values[-1].tolist() == pytest.approx([0.1, 0.25, 0.0])


def test_a_command_that_is_not_finite_is_named(tmp_path: Path) -> None:
    bag = write_messages(tmp_path / "run", [*drive(FRAMES), ("/cmd_vel", SECOND, twist(float("nan"), 0.0))])
    with pytest.raises(DataError, match=r"run: /cmd_vel: linear_x is nan at 17\d+"):
        open_source(source(bag))


def test_headers_of_another_clock_are_named(tmp_path: Path) -> None:
    for name, at, message in (("zero", 0, "hold no stamps"), ("boot", 55 * SECOND, "another clock")):
        pictures = [rgb_image(at and at + n * SECOND // 10, FRAMES[n]) for n in range(4)]
        bag = write_messages(tmp_path / name, with_pictures(pictures))
        with pytest.raises(DataError, match=rf"{name}: .*{message}.*set stamps: received"):
            open_source(source(bag, odometry=None))
        [episode] = open_source(source(bag, odometry=None, stamps="received"))
        np.testing.assert_array_equal(all_frames(episode.cameras["front"]), FRAMES[:4])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cameras": {"front": "/other"}}, "no /other and no /other/compressed among /cam/image_raw/compressed, /cmd"),
        ({"command": "/drive"}, "no /drive among"),
        ({"odometry": "/cmd_vel"}, "the topic /cmd_vel is given twice"),
        (
            {"odometry": "/instruction", "instruction": {"type": "file"}},
            "/instruction is std_msgs/msg/String, expected",
        ),
        ({"command": "/odom", "odometry": None}, "/odom is nav_msgs/msg/Odometry, expected geometry_msgs/msg/Twist or"),
    ],
)
def test_topics_that_are_not_there_or_of_another_type(bag: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_source(source(bag, **changes))


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.97])
def test_a_truncated_recording_is_named(tmp_path: Path, storage: str, keep: float) -> None:
    bag = write_messages(tmp_path / "run", drive(noise(8, size=(60, 80))), storage)
    file = next(file for file in bag.iterdir() if file.suffix in (".db3", ".mcap"))
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])

    def read() -> list[Episode]:
        episodes = open_source(source(bag))
        for episode in episodes:
            all_frames(episode.cameras["front"])
        return episodes

    with pytest.raises(DataError, match="run: not a readable rosbag2 recording"):
        read()


def test_metadata_that_is_none_is_named(bag: Path, tmp_path: Path) -> None:
    for content in ("", "{", "[]", "rosbag2_bagfile_information: {}", "\x00"):
        (bag / "metadata.yaml").write_text(content)
        with pytest.raises(DataError, match="run: not a readable rosbag2 recording"):
            open_source(source(bag))
    (bag / "metadata.yaml").unlink()
    with pytest.raises(DataError, match="ros2 bag reindex"):
        open_source(source(bag))
    for path in (tmp_path / "missing", tmp_path / "empty"):
        with pytest.raises(DataError, match=rf"{path.name} holds no rosbag2 recording .*mobile-vla record"):
            open_source(source(path))


def test_a_missing_part_of_a_recording_is_named(bag: Path) -> None:
    content = yaml.safe_load((bag / "metadata.yaml").read_text())
    content["rosbag2_bagfile_information"]["relative_file_paths"].append("run_1.db3")
    (bag / "metadata.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match=r"run_1\.db3"):
        open_source(source(bag))


def test_another_recording_in_the_place_of_the_one_opened_is_noticed(bag: Path) -> None:
    pictures = open_source(source(bag))[0].cameras["front"]
    pictures.read([0])
    shutil.rmtree(bag)
    with pytest.raises(DataError, match="run: not a readable"):
        pictures.read([0])
    write_messages(bag, drive(FRAMES, lag=9_000_000))
    with pytest.raises(DataError, match="the recording is another one than was opened"):
        pictures.read([0])
