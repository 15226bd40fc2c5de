"""LeRobot datasets that others wrote, and what is wrong with them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runs import all_frames, noise

from mobile_vla_models import DataError
from mobile_vla_models.data.configuration import LeRobotSource
from mobile_vla_models.data.sources import open_source

LENGTHS, FPS = (9, 14, 7), 15
FRAMES = noise(sum(LENGTHS), size=(16, 24))
VALUES = np.random.default_rng(4).normal(size=(sum(LENGTHS), 3)).astype(np.float32)
KEY = "observation.images.top"
SHUFFLED = [{"name": name, "unit": "1", "scale": 1.0} for name in ("theta.vel", "a", "b")]
TASKS = ("drive to the door", "turn left")


def write_video(path: Path, frames: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        # As long groups as another tool may have made, with frames that are stored out of order.
        options = {"qp": "0", "g": "12", "bf": "2", "preset": "medium"}
        stream = container.add_stream("libx264rgb", rate=FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "rgb24"
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def columns(episodes: list[int], tables: bool) -> dict[str, Any]:
    rows = np.concatenate([np.arange(sum(LENGTHS[:e]), sum(LENGTHS[: e + 1])) for e in episodes])
    frame = np.concatenate([np.arange(LENGTHS[e]) for e in episodes])
    # The second episode changes its task after 10 frames.
    episode = np.repeat(episodes, [LENGTHS[e] for e in episodes])
    found: dict[str, Any] = {
        "action": pa.array(VALUES[rows].tolist(), pa.list_(pa.float32())),
        "observation.state": pa.array(VALUES[rows, :1].reshape(-1)),
        "timestamp": (frame / FPS).astype(np.float32),
        "frame_index": frame,
        "episode_index": episode,
        "index": rows,
        "task_index": ((episode == 1) & (frame >= 10)).astype(np.int64),
    }
    if tables:
        cells = [{"bytes": cv2.imencode(".png", FRAMES[row][..., ::-1])[1].tobytes(), "path": "x.png"} for row in rows]
        found[KEY] = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    return found


def write_dataset(root: Path, version: str, tables: bool = False) -> Path:
    (root / "meta").mkdir(parents=True)
    paths = {
        "v2.1": ("data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
                 "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"),
        "v3.0": ("data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
                 "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"),
    }[version]  # fmt: skip
    info = {
        "codebase_version": version,
        "robot_type": "base",
        "fps": FPS,
        "chunks_size": 1000,
        "total_episodes": 3,
        "data_path": paths[0],
        "video_path": None if tables else paths[1],
        "features": {
            "action": {"dtype": "float32", "shape": [3], "names": {"axes": ["x.vel", "y.vel", "theta.vel"]}},
            "observation.state": {"dtype": "float32", "shape": [1], "names": ["speed"]},
            KEY: {"dtype": "image" if tables else "video", "shape": [16, 24, 3], "names": ["height", "width", "rgb"]},
            **{key: {"dtype": "int64", "shape": [1], "names": None} for key in ("frame_index", "episode_index")},
        },
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    abouts: list[dict[str, Any]] = [{"episode_index": n, "tasks": list(TASKS), "length": LENGTHS[n]} for n in range(3)]
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    if version == "v2.1":
        lines = [{"task_index": n, "task": task} for n, task in enumerate(TASKS)]
        for name, content in (("tasks", lines), ("episodes", abouts)):
            (root / f"meta/{name}.jsonl").write_text("\n".join(json.dumps(line) for line in content))
        for n in range(3):
            where = {"episode_chunk": 0, "episode_index": n, "video_key": KEY}
            path = root / paths[0].format(**where)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns([n], tables)), path)
            if not tables:
                write_video(root / paths[1].format(**where), FRAMES[starts[n] : starts[n + 1]])
        return root
    # The first two lie in one file, the last in another.
    for file, episodes in enumerate(([0, 1], [2])):
        where = {"chunk_index": 0, "file_index": file, "video_key": KEY}
        path = root / paths[0].format(**where)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns(episodes, tables)), path, row_group_size=5)
        if not tables:
            write_video(root / paths[1].format(**where), FRAMES[starts[episodes[0]] : starts[episodes[-1] + 1]])
        for n in episodes:
            begin = (starts[n] - starts[episodes[0]]) / FPS
            abouts[n] |= {"data/chunk_index": 0, "data/file_index": file}
            abouts[n] |= {f"videos/{KEY}/chunk_index": 0, f"videos/{KEY}/file_index": file}
            abouts[n] |= {f"videos/{KEY}/from_timestamp": begin, f"videos/{KEY}/to_timestamp": begin + LENGTHS[n] / FPS}
            abouts[n] |= {"stats/action/min": [0.0, 0.0, 0.0]}
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(abouts), root / "meta/episodes/chunk-000/file-000.parquet")
    tasks = pa.table({"task_index": [0, 1], "__index_level_0__": list(TASKS)})
    pq.write_table(tasks, root / "meta/tasks.parquet")
    return root


def source(path: Path, **changes: object) -> LeRobotSource:
    names = {"linear_x": "m/s", "linear_y": "m/s", "angular_z": "rad/s"}
    scales = (1.0, 1.0, 0.5)
    actions = [{"name": n, "unit": u, "scale": s} for (n, u), s in zip(names.items(), scales, strict=True)]
    base = {
        "type": "lerobot",
        "path": path,
        "cameras": {"front": KEY},
        "actions": {"key": "action", "columns": actions},
        "odometry": {"key": "observation.state", "columns": [actions[0]]},
        "stamps": "frame_rate",
    }
    return LeRobotSource.model_validate({**base, **changes})


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("tables", [False, True])
def test_a_dataset_of_others(tmp_path: Path, version: str, tables: bool) -> None:
    found = open_source(source(write_dataset(tmp_path / "set", version, tables)))
    parts = [(0, 9, 0), (9, 19, 0), (19, 23, 1), (23, 30, 0)]
    assert [episode.source for episode in found] == ["set_000000#0", "set_000001#0", "set_000001#1", "set_000002#0"]
    for episode, (begin, end, task) in zip(found, parts, strict=True):
        assert episode.instruction == TASKS[task]
        pictures = episode.cameras["front"]
        np.testing.assert_array_equal(all_frames(pictures), FRAMES[begin:end])
        for row in (end - begin - 1, 0):
            np.testing.assert_array_equal(pictures.read([row])[0], FRAMES[begin + row])
        np.testing.assert_array_equal(episode.actions.values, VALUES[begin:end] * np.float32([1, 1, 0.5]))
        assert episode.odometry is not None
        np.testing.assert_array_equal(episode.odometry.values, VALUES[begin:end, :1])
        np.testing.assert_array_equal(pictures.stamps, episode.actions.stamps)
        np.testing.assert_allclose(np.diff(pictures.stamps), 1 / FPS, atol=2e-9)
        assert pictures.received is None
    assert found[2].begin == found[1].end == pytest.approx(10 / FPS)
    assert found[2].end == pytest.approx(14 / FPS)


def test_frames_in_any_order(tmp_path: Path) -> None:
    pictures = open_source(source(write_dataset(tmp_path / "set", "v3.0")))[1].cameras["front"]
    rng = np.random.default_rng(0)
    for _ in range(30):
        rows = rng.integers(0, 10, rng.integers(1, 6))
        for frame, row in zip(pictures.read(rows), rows, strict=True):
            np.testing.assert_array_equal(frame, FRAMES[9 + row])
    with pytest.raises(IndexError):
        pictures.read([10])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cameras": {"front": "observation.images.low"}}, "no feature 'observation.images.low' among action, observ"),
        ({"cameras": {"front": "action"}}, "feature 'action' is float32, expected video or image"),
        ({"odometry": {"key": "action", "columns": []}}, "columns"),
        ({"stamps": "recorded"}, r"signals/action\.parquet is not there: .* set stamps: frame_rate"),
        (
            {"odometry": {"key": "action", "columns": [{"name": "linear_x", "unit": "m/s", "scale": 1.0}]}},
            r"feature 'action' has shape \(3,\), expected \(1,\)",
        ),
        (
            {"odometry": {"key": "action", "columns": SHUFFLED}},
            "says that its columns are x.vel, y.vel, theta.vel, not theta.vel, a, b",
        ),
    ],
)
def test_what_is_not_as_the_configuration_says(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    root = write_dataset(tmp_path / "set", "v3.0", tables=True)
    with pytest.raises(ValueError, match=message):
        open_source(source(root, **changes))


def edit(path: Path, key: str, value: object) -> None:
    content = json.loads(path.read_text())
    content[key] = value
    path.write_text(json.dumps(content))


def test_a_description_that_is_none(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", "v3.0", tables=True)
    info = root / "meta/info.json"
    good = info.read_text()
    for key, value, message in (
        ("codebase_version", "v1.6", "codebase_version: Input should be 'v2.1' or 'v3.0'"),
        ("fps", 0, "fps: Input should be greater than 0"),
        ("data_path", "data/{nothing}.parquet", "where episode 0 lies is not known"),
    ):
        edit(info, key, value)
        with pytest.raises(DataError, match=message):
            open_source(source(root))
        info.write_text(good)
    info.write_text(good[:50])
    with pytest.raises(DataError, match=r"info\.json: not readable, so .*set is no LeRobot dataset"):
        open_source(source(root))
    with pytest.raises(DataError, match=r"missing is no LeRobot dataset"):
        open_source(source(tmp_path / "missing"))


@pytest.mark.parametrize("name", ["data/chunk-000/file-000", "meta/tasks", "meta/episodes/chunk-000/file-000"])
@pytest.mark.parametrize("keep", [0.0, 0.4, 0.95])
def test_a_truncated_table_is_named(tmp_path: Path, name: str, keep: float) -> None:
    path = write_dataset(tmp_path / "set", "v3.0", tables=True) / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(DataError, match=rf"{path.name}: not a readable table"):
        open_source(source(tmp_path / "set"))


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_a_truncated_video_is_named_when_it_is_read(tmp_path: Path, keep: float) -> None:
    root = write_dataset(tmp_path / "set", "v3.0")
    path = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    episode = open_source(source(root))[1]
    with pytest.raises(DataError, match=r"file-000\.mp4"):
        all_frames(episode.cameras["front"])
    path.unlink()
    with pytest.raises(DataError, match=r"file-000\.mp4: the video of episode 0 is not there"):
        open_source(source(root))


def test_a_video_that_is_too_short_is_named(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", "v2.1")
    path = root / f"videos/chunk-000/{KEY}/episode_000001.mp4"
    write_video(path, FRAMES[:8])
    pictures = open_source(source(root))[1].cameras["front"]
    pictures.read([7])
    with pytest.raises(DataError, match=r"episode_000001\.mp4: no frame at 0\.533 s"):
        pictures.read([7, 8])
    np.testing.assert_array_equal(pictures.read([2])[0], FRAMES[2], "a failure does not confuse the next")


def test_rows_that_contradict_what_is_said_of_them(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", "v2.1", tables=True)
    path = root / "data/chunk-000/episode_000000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 7), path)
    with pytest.raises(DataError, match="episode 0 has 7 rows, expected 9"):
        open_source(source(root))
    broken = table.set_column(table.column_names.index("frame_index"), "frame_index", pa.array([0, *range(2, 10)]))
    pq.write_table(broken, path)
    with pytest.raises(DataError, match="frames of episode 0 are not numbered one after the other"):
        open_source(source(root))
    lists = pa.array([[0.0, 0.0]] + [[0.0] * 3] * 7 + [[0.0] * 4], pa.list_(pa.float32()))
    pq.write_table(table.set_column(0, "action", lists), path)
    with pytest.raises(DataError, match=r"episode_000000\.parquet: the lists of action differ in length"):
        open_source(source(root))
    pq.write_table(table.drop_columns(["task_index"]), path)
    with pytest.raises(DataError, match=r"no column task_index among action"):
        open_source(source(root))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "image is empty"),
        (None, "a cell holds {'bytes': None"),
        (b"no picture", "neither JPEG nor PNG"),
        (cv2.imencode(".png", np.zeros((16, 24), np.uint16))[1].tobytes(), "16 bits a value: depth"),
    ],
)
def test_pictures_in_a_table_that_cannot_be_used_are_left_out(tmp_path: Path, data: bytes | None, reason: str) -> None:
    root = write_dataset(tmp_path / "set", "v2.1", tables=True)
    path = root / "data/chunk-000/episode_000002.parquet"
    table = pq.read_table(path)
    place = table.column_names.index(KEY)
    cells = table.column(KEY).to_pylist()
    for row in (1, 5):
        cells[row] = {"bytes": data, "path": "x.png"}
    pq.write_table(table.set_column(place, KEY, pa.array(cells, table.schema.field(KEY).type)), path)
    episode = open_source(source(root))[3]
    pictures = episode.cameras["front"]
    [(found, count)] = episode.left_out["front"].items()
    assert reason in found
    assert count == 2
    kept = [0, 2, 3, 4, 6]
    np.testing.assert_allclose(pictures.stamps, np.array(kept) / FPS, atol=1e-9)
    np.testing.assert_array_equal(all_frames(pictures), FRAMES[sum(LENGTHS[:2]) :][kept])


def test_red_and_blue_of_pictures_and_videos_can_be_exchanged(tmp_path: Path) -> None:
    for tables in (True, False):
        root = write_dataset(tmp_path / str(tables), "v2.1", tables=tables)
        config = source(root).model_copy(update={"color": "bgr"})
        np.testing.assert_array_equal(
            all_frames(open_source(config)[0].cameras["front"]), FRAMES[: LENGTHS[0], :, :, ::-1]
        )


def test_a_video_that_is_larger_than_the_bounds_is_refused(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", "v2.1", tables=False)
    config = source(root).model_copy(update={"max_image_width": 20})
    with pytest.raises(DataError, match=r"mp4: .*24 x 16 pixels: expected at most 20 x 4096"):
        open_source(config)[0].cameras["front"].read([0])


@pytest.mark.parametrize(
    "field", ["{episode_chunk:20000000000d}", "{episode_chunk:099999d}", "{episode_index.real}", "{0!r}"]
)
def test_a_path_that_would_format_more_than_a_number_is_refused_by_name(tmp_path: Path, field: str) -> None:
    root = write_dataset(tmp_path / "set", "v2.1", tables=True)
    path = root / "meta/info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "data_path": f"data/{field}.parquet"}))
    with pytest.raises(
        DataError, match=r"info\.json: data_path: .*holds the field .*expected one like \{episode_index:06d\}"
    ):
        open_source(source(root))
