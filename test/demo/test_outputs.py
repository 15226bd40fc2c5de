"""Judge, table, plot and video of a recorded demonstration."""

from pathlib import Path

import av
import numpy as np
import pytest
from rich.console import Console

from mobile_vla_ros.demo.path_plot import plot_path
from mobile_vla_ros.demo.picture import HEIGHT, LEFT_WIDTH, WIDTH, Composer
from mobile_vla_ros.demo.recording import Drive, Recording, latest
from mobile_vla_ros.demo.report import run_table
from mobile_vla_ros.demo.video import write_video
from mobile_vla_ros.sim.base import Velocity
from mobile_vla_ros.sim.scene import Scene
from mobile_vla_ros.sim.task import Outcome
from mobile_vla_ros.sim.world import World

MAXIMUM = Velocity(0.5, 1.0)


def test_the_expert_is_judged_to_do_as_told(recording: Recording) -> None:
    assert [run.outcome for run in recording.runs] == [Outcome.REACHED] * 3
    go_to, _, turn = recording.runs
    assert go_to.distance > 0.3
    assert turn.distance < 0.3
    assert turn.turned == pytest.approx(np.pi / 2, abs=0.5)


def test_latest_is_the_newest_entry_that_is_not_in_the_future() -> None:
    drives = [Drive(stamp, Velocity(stamp, 0.0)) for stamp in (1.0, 2.0, 2.0, 3.0)]
    assert latest(drives, 0.9) is None
    assert latest(drives, 2.5) is drives[2]
    assert latest(drives, 3.0) is drives[3]


def test_the_table_names_each_instruction_and_how_it_ended(recording: Recording) -> None:
    console = Console(record=True, width=120, file=None, quiet=False)
    with console.capture() as captured:
        console.print(run_table(recording.runs))
    for run in recording.runs:
        assert run.task.instruction in captured.get()
    assert captured.get().count("did as told") == 3


def test_the_picture_shows_camera_path_and_command(recording: Recording, twin: World) -> None:
    composer = Composer(recording, twin, MAXIMUM)
    first, last = (composer.compose(recording.frames[index]) for index in (0, -1))
    assert first.shape == (HEIGHT, WIDTH, 3)
    assert first.dtype == np.uint8
    left, right = np.s_[:, :LEFT_WIDTH], np.s_[:, LEFT_WIDTH:]
    assert np.any(first[left] != last[left])
    assert np.any(first[right] != last[right])


def test_the_video_is_h264_and_as_long_as_its_pictures(recording: Recording, twin: World, tmp_path: Path) -> None:
    composer = Composer(recording, twin, MAXIMUM)
    file = tmp_path / "run.mp4"
    write_video(file, map(composer.compose, recording.frames[:12]), rate=10)
    assert [path.name for path in tmp_path.iterdir()] == ["run.mp4"]
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        pictures = list(container.decode(stream))
    assert len(pictures) == 12
    assert (pictures[0].height, pictures[0].width) == (HEIGHT, WIDTH)


def test_a_video_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        write_video(tmp_path / "run.mp4", [], rate=10)
    assert not (tmp_path / "run.mp4").exists()


def test_the_plot_is_a_picture(recording: Recording, scene: Scene, tmp_path: Path) -> None:
    plot_path(recording, scene, tmp_path / "path.png")
    assert (tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")
