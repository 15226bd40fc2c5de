"""The files that show what happened."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from ..sim.base import Velocity
from ..sim.world import World
from .path_plot import plot_path
from .picture import Composer
from .recording import Recording
from .video import write_video

RATE = 10  # pictures per second, the camera's: the video runs in simulated time
FULL_SPEED = Velocity(0.5, 1.0)  # at which the video's bars are full


def write_outputs(recording: Recording, twin: World, out: Path, console: Console) -> tuple[Path, Path, Path]:
    """Write the video, a still from its middle and the plot of the path; returns the files.

    Args:
        recording: what happened; it has frames and motions.
        twin: the room in which it happened.
        out: folder, which exists.
        console: for progress.
    """
    video, still, plot = files = _files(out)
    composer = Composer(recording, twin, FULL_SPEED)
    frames = track(recording.frames, "writing the video", console=console, transient=True)
    write_video(video, (composer.compose(frame) for frame in frames), RATE)
    run = recording.runs[len(recording.runs) // 2]
    middle = (run.start + run.end) / 2.0
    frame = min(recording.frames, key=lambda frame: abs(frame.stamp - middle))
    Image.fromarray(composer.compose(frame)).save(still)
    plot_path(recording, twin.scene, plot)
    return files


def remove_outputs(out: Path) -> None:
    """Remove what an earlier run wrote: after a failure nothing shall look like its result."""
    for file in _files(out):
        file.unlink(missing_ok=True)


def _files(out: Path) -> tuple[Path, Path, Path]:
    return out / "run.mp4", out / "run.png", out / "path.png"
