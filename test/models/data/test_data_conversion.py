"""From one format to another and back, to the last bit; and nothing is left behind by what failed."""

from __future__ import annotations

import json
import pickle
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from runs import START, all_frames, assert_same_episode, drive, noise, png, rgb_image, write_h5, write_messages

from mobile_vla_models import DataError
from mobile_vla_models.data.configuration import (
    Hdf5Source,
    Hdf5Target,
    LeRobotTarget,
    Rosbag2Source,
    Rosbag2Target,
    SourceConfig,
    TargetConfig,
    read_source_config,
)
from mobile_vla_models.data.convert import convert_data
from mobile_vla_models.data.episode import Pictures
from mobile_vla_models.data.sources import Listing, open_source
from mobile_vla_models.sentence import normalize_instruction

FRAMES, REAR = noise(11, size=(14, 18)), noise(11, seed=1, size=(16, 20))
EXACT: dict[str, TargetConfig] = {
    "bag": Rosbag2Target(type="rosbag2"),
    "mcap": Rosbag2Target(type="rosbag2", storage="mcap", pictures="raw"),
    "hdf5": Hdf5Target(type="hdf5"),
    "v3.0": LeRobotTarget(type="lerobot", fps=10),
    "v2.1": LeRobotTarget(type="lerobot", fps=10, version="v2.1"),
    "v3.0-png": LeRobotTarget(type="lerobot", fps=10, pictures="png"),
    "v2.1-png": LeRobotTarget(type="lerobot", fps=10, version="v2.1", pictures="png"),
}


def record(folder: Path) -> Rosbag2Source:
    """Two bags of three episodes, two cameras."""
    sentences = (((0, "go to the red box"), (6, "돌아와")), ((0, "turn back"),))
    for number, said in enumerate(sentences):
        messages = drive(FRAMES if number == 0 else FRAMES[:5], said)
        rear = REAR if number == 0 else REAR[:5]
        messages += [
            ("/rear/compressed", n * 10**8 + 9, png(START + n * 10**8 + 3_000_000, frame))
            for n, frame in enumerate(rear)
        ]
        write_messages(folder / f"run{number}", sorted(messages, key=lambda message: message[1]))
    return Rosbag2Source(
        type="rosbag2", path=folder, cameras={"front": "/cam/image_raw", "back": "/rear"}, odometry="/odom"
    )


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Rosbag2Source:
    return record(tmp_path_factory.mktemp("bags"))


@pytest.fixture(scope="module")
def converted(bags: Rosbag2Source, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SourceConfig]:
    """The same recordings in every format, as the configurations beside them say."""
    folder = tmp_path_factory.mktemp("converted")
    for name, target in EXACT.items():
        convert_data(bags, target, folder / name)
    return {name: read_source_config(folder / name / "source.yaml") for name in EXACT}


@pytest.mark.parametrize("name", EXACT)
def test_a_recording_is_the_same_in_every_format(
    bags: Rosbag2Source, converted: dict[str, SourceConfig], name: str
) -> None:
    original, found = open_source(bags), open_source(converted[name])
    assert len(original) == 3
    for one, other in zip(original, found, strict=True):
        assert_same_episode(one, other)
        for camera, pictures in one.cameras.items():
            assert pictures.received is not None
            np.testing.assert_array_equal(pictures.received, other.cameras[camera].received)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("sentence", ["\ufeff go\u00a0 home \n", "stop", "\u1106\u1165\u11b7\u110e\u116f"])
def test_the_sentence_is_kept_as_it_is_normalised(tmp_path: Path, name: str, sentence: str) -> None:
    bag = write_messages(tmp_path / "run", drive(FRAMES[:3], ((0, sentence),)))
    instruction = {"type": "topic", "stop_sentences": "keep"}
    source = {"type": "rosbag2", "path": bag, "cameras": {"front": "/cam/image_raw"}, "instruction": instruction}
    summary = convert_data(Rosbag2Source.model_validate(source), EXACT[name], tmp_path / "out")
    (episode,) = open_source(summary.source)
    assert episode.instruction == normalize_instruction(sentence)


@pytest.mark.parametrize(("first", "second"), list(pairwise([*EXACT, "bag"])))
def test_it_stays_the_same_from_format_to_format(
    bags: Rosbag2Source, converted: dict[str, SourceConfig], tmp_path: Path, first: str, second: str
) -> None:
    summary = convert_data(converted[first], EXACT[second], tmp_path / "out")
    for one, other in zip(open_source(bags), open_source(summary.source), strict=True):
        assert_same_episode(one, other)
    assert (summary.episodes, summary.pictures, summary.left_out) == (3, 32, {})
    assert summary.bytes > 0


@pytest.mark.parametrize("name", EXACT)
def test_hdf5_without_times_becomes_any_format(tmp_path: Path, name: str) -> None:
    actions = np.random.default_rng(2).normal(size=(11, 3)).astype(np.float32)
    write_h5(tmp_path / "in.h5", FRAMES, actions, sentence="go")
    names = {"linear_x": "m/s", "linear_y": "m/s", "angular_z": "rad/s"}
    columns = [{"name": key, "unit": unit, "scale": 1.0} for key, unit in names.items()]
    source = Hdf5Source.model_validate(
        {
            "type": "hdf5",
            "path": tmp_path / "in.h5",
            "cameras": {"front": "images"},
            "color": "bgr",
            "dt": 0.1,
            "actions": {"key": "actions", "columns": columns},
            "episode_start": "keep",
            "instruction": {"type": "dataset"},
        }
    )
    [original] = open_source(source)
    [found] = open_source(convert_data(source, EXACT[name], tmp_path / "out").source)
    if name in ("bag", "mcap"):
        # A bag knows when each message was received: here, when it was stamped.
        assert found.actions.received is not None
        np.testing.assert_array_equal(found.actions.received, found.actions.stamps)
        found = replace(found, actions=replace(found.actions, received=None))
    assert_same_episode(original, found)


def test_lossy_video_is_near_and_much_smaller(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], (64, 64, 3))
    frames = np.stack([np.roll(smooth, 3 * shift, axis=1) for shift in range(12)])
    write_messages(tmp_path / "bags" / "run", drive(frames))
    source = Rosbag2Source(type="rosbag2", path=tmp_path / "bags", cameras={"front": "/cam/image_raw"})
    sizes = {}
    for quality in ("lossy", "lossless"):
        target = LeRobotTarget.model_validate({"type": "lerobot", "fps": 10, "pictures": quality})
        [found] = open_source(convert_data(source, target, tmp_path / quality).source)
        error = np.abs(all_frames(found.cameras["front"]).astype(int) - frames)
        assert error.mean() < (8.0 if quality == "lossy" else 1e-9)
        sizes[quality] = sum(file.stat().st_size for file in (tmp_path / quality).rglob("*.mp4"))
    assert sizes["lossy"] < 0.7 * sizes["lossless"]


def test_what_lerobot_itself_reads(converted: dict[str, SourceConfig]) -> None:
    """The format's own files: clock, action that answers each frame, statistics, where each episode lies."""
    root = converted["v3.0"].path
    info = json.loads((root / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_episodes"], info["total_frames"]) == ("v3.0", 10, 3, 16)
    assert info["features"]["action"] == {"dtype": "float32", "shape": [2], "names": ["linear_x", "angular_z"]}
    rows = pq.read_table(root / info["data_path"].format(chunk_index=0, file_index=0))
    assert set(rows.column_names) == {key for key, of in info["features"].items() if of["dtype"] != "video"}
    assert rows["index"].to_pylist() == list(range(16))
    assert rows["frame_index"].to_pylist() == [*range(6), *range(5), *range(5)]
    np.testing.assert_allclose(rows["timestamp"].to_numpy()[6:11], np.arange(5) / 10.0, rtol=1e-6)
    # The command that answers frame n of `drive` is the first of two, 0.1 n m/s.
    np.testing.assert_allclose([action[0] for action in rows["action"].to_pylist()[:6]], 0.1 * np.arange(6), atol=1e-6)
    tasks = pq.read_table(root / "meta/tasks.parquet")
    assert tasks.to_pydict() == {"task_index": [0, 1, 2], "task": ["go to the red box", "돌아와", "turn back"]}
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    episodes = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    front = "videos/observation.images.front"
    assert [episode[f"{front}/from_timestamp"] for episode in episodes] == [0.0, 0.6, 1.1]
    assert [episode[f"{front}/to_timestamp"] for episode in episodes] == [0.6, 1.1, 1.6]
    assert [(episode["dataset_from_index"], episode["dataset_to_index"]) for episode in episodes] == [
        (0, 6),
        (6, 11),
        (11, 16),
    ]
    where = {"video_key": "observation.images.front", "chunk_index": 0, "file_index": 0}
    assert (root / info["video_path"].format(**where)).is_file()
    stats = json.loads((root / "meta/stats.json").read_text())
    assert set(stats) == set(info["features"])
    shown = np.concatenate([FRAMES, FRAMES[:5]]) / 255.0
    found = stats["observation.images.front"]
    np.testing.assert_allclose(np.ravel(found["mean"]), shown.mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(np.ravel(found["std"]), shown.std(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(np.ravel(found["q90"]), np.quantile(shown, 0.9, axis=(0, 1, 2)), atol=1 / 255)
    assert np.shape(found["min"]) == (3, 1, 1)
    actions = np.array(rows["action"].to_pylist())
    np.testing.assert_allclose(stats["action"]["std"], actions.std(axis=0), rtol=1e-6)
    assert stats["action"]["count"] == [16]


def test_what_lerobot_2_reads(converted: dict[str, SourceConfig]) -> None:
    root = converted["v2.1"].path
    info = json.loads((root / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_videos"], info["total_chunks"]) == ("v2.1", 6, 1)
    for index in range(3):
        where = {"episode_chunk": 0, "episode_index": index, "video_key": "observation.images.back"}
        assert (root / info["data_path"].format(**where)).is_file()
        assert (root / info["video_path"].format(**where)).is_file()
    lines = [json.loads(line) for line in (root / "meta/episodes.jsonl").read_text().splitlines()]
    assert [(line["episode_index"], line["tasks"], line["length"]) for line in lines] == [
        (0, ["go to the red box"], 6),
        (1, ["돌아와"], 5),
        (2, ["turn back"], 5),
    ]
    stats = [json.loads(line) for line in (root / "meta/episodes_stats.jsonl").read_text().splitlines()]
    assert stats[1]["stats"]["action"]["count"] == [5]


def read_elsewhere(pictures: Pictures, rows: list[int]) -> list[Any]:
    return pictures.read(rows)


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", EXACT)
def test_a_spawned_worker_reads_what_it_is_sent(
    converted: dict[str, SourceConfig], worker: ProcessPoolExecutor, name: str
) -> None:
    pictures = open_source(converted[name])[0].cameras["front"]
    pictures.read([0])  # what is open here stays here
    assert len(pickle.dumps(pictures)) < 3000
    found = worker.submit(read_elsewhere, pictures, [4, 1]).result()
    assert all(np.array_equal(frame, FRAMES[row]) for frame, row in zip(found, [4, 1], strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_worker_opens_files_of_its_own(converted: dict[str, SourceConfig]) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        for source in converted.values():
            pictures = open_source(source)[0].cameras["front"]
            pictures.read([0])
            jobs = [(row, pool.submit(read_elsewhere, pictures, [row])) for row in (0, 5, 2, 4) * 3]
            for row, job in jobs:
                np.testing.assert_array_equal(job.result()[0], FRAMES[row])


@pytest.mark.parametrize("name", EXACT)
def test_listing_holds_no_pictures(tmp_path: Path, name: str) -> None:
    frames = noise(60, size=(120, 160))
    messages = [message for message in drive(frames) if message[0] != "/cam/image_raw/compressed"]
    messages += [("/cam/image_raw", n * 10**8 + 9, rgb_image(START + n * 10**8, f)) for n, f in enumerate(frames)]
    write_messages(tmp_path / "bags" / "run", sorted(messages, key=lambda message: message[1]))
    bag = Rosbag2Source(type="rosbag2", path=tmp_path / "bags", cameras={"front": "/cam/image_raw"})
    source = convert_data(bag, EXACT[name], tmp_path / "out").source
    open_source(source)  # what is imported and cached once is not counted
    tracemalloc.start()
    episodes = open_source(source)
    listing = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    episodes[0].cameras["front"].read([50])
    reading = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    chunk = 2**20 if name == "mcap" else 0  # MCAP is compressed in chunks
    assert listing < 8 * frames[0].nbytes + 4 * chunk
    assert reading < 8 * frames[0].nbytes + 4 * chunk


class BrokenPictures:
    """The second block of frames cannot be read."""

    def __init__(self, pictures: Pictures) -> None:
        self.stamps, self.received = pictures.stamps, pictures.received
        self._pictures = pictures

    def read(self, rows: Any) -> list[Any]:
        if max(rows) > 3:
            raise DataError("the disk is gone")
        return self._pictures.read(rows)


@pytest.mark.parametrize("name", EXACT)
def test_a_failure_leaves_nothing_behind(
    bags: Rosbag2Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def broken(config: SourceConfig) -> Listing:
        episodes = open_source(config)
        cameras = {camera: BrokenPictures(pictures) for camera, pictures in episodes[1].cameras.items()}
        return Listing([episodes[0], replace(episodes[1], cameras=cameras), *episodes[2:]], (), ())

    monkeypatch.setattr("mobile_vla_models.data.convert.list_source", broken)
    with pytest.raises(DataError, match="the disk is gone"):
        convert_data(bags, EXACT[name], tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(bags: Rosbag2Source, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="out is already there, expected a new folder"):
        convert_data(bags, EXACT["hdf5"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_pictures_that_no_row_holds_are_counted(tmp_path: Path) -> None:
    """The other camera is twice as fast: LeRobot has one row for each picture of the first."""
    messages = drive(FRAMES)
    fast = noise(22, seed=3)
    messages += [("/rear", n * 5 * 10**7 + 9, rgb_image(START + n * 5 * 10**7, f)) for n, f in enumerate(fast)]
    write_messages(tmp_path / "bags" / "run", sorted(messages, key=lambda message: message[1]))
    cameras = {"front": "/cam/image_raw", "back": "/rear"}
    source = Rosbag2Source(type="rosbag2", path=tmp_path / "bags", cameras=cameras)
    summary = convert_data(source, EXACT["v3.0"], tmp_path / "out")
    assert summary.left_out == {"back": 11}
    [found] = open_source(summary.source)
    np.testing.assert_array_equal(all_frames(found.cameras["front"]), FRAMES)
    np.testing.assert_array_equal(all_frames(found.cameras["back"]), fast[::2])
    assert convert_data(source, EXACT["hdf5"], tmp_path / "hdf5").left_out == {}


def test_a_slower_camera_stands_in_several_rows_and_is_read_once(tmp_path: Path) -> None:
    messages = drive(FRAMES)
    slow = noise(4, seed=3)
    messages += [("/rear", n * 3 * 10**8 + 9, rgb_image(START + n * 3 * 10**8, f)) for n, f in enumerate(slow)]
    write_messages(tmp_path / "bags" / "run", sorted(messages, key=lambda message: message[1]))
    cameras = {"front": "/cam/image_raw", "back": "/rear"}
    source = Rosbag2Source(type="rosbag2", path=tmp_path / "bags", cameras=cameras)
    for name in ("v3.0", "v2.1-png"):
        [found] = open_source(convert_data(source, EXACT[name], tmp_path / name).source)
        assert_same_episode(open_source(source)[0], found)


def test_what_a_format_cannot_hold_is_named(tmp_path: Path) -> None:
    small, large = noise(4), noise(4, size=(14, 20))
    for name, frames in (("one", small), ("two", large)):
        write_messages(tmp_path / "bags" / name, drive(frames))
    source = Rosbag2Source(type="rosbag2", path=tmp_path / "bags", cameras={"front": "/cam/image_raw"})
    for name in ("v3.0", "v2.1", "v3.0-png"):
        with pytest.raises(DataError, match=r"(two#0|front).*(change from \(12, 18\) to|is .*\[14, 20, 3\])"):
            convert_data(source, EXACT[name], tmp_path / "out")
    assert len(open_source(convert_data(source, EXACT["hdf5"], tmp_path / "out").source)) == 2
    write_messages(tmp_path / "odd" / "run", drive(noise(4, size=(13, 17))))
    odd = source.model_copy(update={"path": tmp_path / "odd"})
    with pytest.raises(DataError, match="even height and width, not 17 x 13: take lossless"):
        convert_data(odd, LeRobotTarget(type="lerobot", fps=10, pictures="lossy"), tmp_path / "lossy")
    assert len(open_source(convert_data(odd, EXACT["v3.0"], tmp_path / "lossless").source)) == 1
