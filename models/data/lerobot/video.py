"""Videos: written frame by frame, read from any frame on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

import av
import av.error
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ...errors import DataError
from ...image_header import ImageError, check_size
from ...images import ImageRules
from ..opened import Opened

# "lossless": every pixel of RGB. "lossy": LeRobot's own choice. Groups of few frames, for reading from anywhere.
CODECS: Final[Mapping[str, tuple[str, str, Mapping[str, str]]]] = MappingProxyType(
    {
        "lossless": (
            "libx264rgb",
            "rgb24",
            {"qp": "0", "preset": "veryfast", "tune": "fastdecode", "g": "4", "bf": "0"},
        ),
        "lossy": ("libsvtav1", "yuv420p", {"crf": "30", "g": "2"}),
    }
)


class VideoWriter:
    """Writes one video; frame k is shown at k / fps."""

    def __init__(self, path: Path, fps: int, size: tuple[int, int], quality: str) -> None:
        codec, pixels, options = CODECS[quality]
        height, width = size
        if pixels == "yuv420p" and (height % 2 or width % 2):
            raise DataError(f"{path}: lossy video is of even height and width, not {width} x {height}: take lossless")
        os.environ.setdefault(
            "SVT_LOG", "1"
        )  # of the AV1 encoder: errors only, the rest would run through progress bars
        path.parent.mkdir(parents=True, exist_ok=True)
        self.size = size
        self.frames = 0
        self._container: OutputContainer = av.open(str(path), "w", format="mp4")
        self._stream = cast(VideoStream, self._container.add_stream(codec, rate=fps, options=dict(options)))
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, pixels
        self._time_base = Fraction(1, fps)

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Append a frame, uint8 RGB (h, w, 3)."""
        frame = VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts, frame.time_base = self.frames, self._time_base
        self.frames += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


class _OpenVideo:
    """A video, and where in it the decoder stands."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container: InputContainer = av.open(str(path))
        self._stream: VideoStream = self._container.streams.video[0]
        # One thread: workers read side by side, and threads that wait for each other cost more than they bring.
        self._stream.codec_context.thread_count = 1
        self._to_rgb = VideoReformatter()
        self._decoded: Iterator[VideoFrame] = iter(())
        self._last = -np.inf  # time (s) of the frame that was given last

    def close(self) -> None:
        self._container.close()

    def at(self, times: NDArray[np.float64], period: float, rules: ImageRules) -> Iterator[NDArray[np.uint8]]:
        """Frames at increasing times (s), each within half a period."""
        check_size(self._stream.width, self._stream.height, rules.max_width, rules.max_height)
        for time in times:
            # From a little before: going on is cheaper than seeking, which begins at a key frame again.
            if not self._last < time <= self._last + 4.5 * period:
                self._seek(time - 0.5 * period)
            rgb = self._on_to(float(time), period)
            yield np.ascontiguousarray(rgb[:, :, ::-1]) if rules.encoding == "bgr8" else rgb

    def _seek(self, time: float) -> None:
        base = self._stream.time_base
        if base is None:
            raise DataError(f"{self._path}: its video has no time base")
        self._container.seek(max(0, round(time / base)), stream=self._stream, backward=True)
        self._decoded = self._container.decode(self._stream)

    def _on_to(self, time: float, period: float) -> NDArray[np.uint8]:
        self._last = -np.inf  # a decoder that failed is not gone on with
        for frame in self._decoded:
            if frame.time is None or frame.time < time - 0.5 * period:
                continue
            if frame.time > time + 0.5 * period:
                break
            self._last = time
            rgb = self._to_rgb.reformat(frame, format="rgb24", threads=1)
            return np.asarray(rgb.to_ndarray(), dtype=np.uint8)
        raise DataError(f"{self._path}: no frame at {time:.3f} s")


_OPENED = Opened(_OpenVideo, most=64)


def read_frames(path: Path, times: NDArray[np.float64], period: float, rules: ImageRules) -> list[NDArray[np.uint8]]:
    """Frames of a video as RGB uint8 (h, w, 3).

    Args:
        path: of the video.
        times: float64 (n,), seconds, increasing.
        period: seconds between frames; each is found within half of it.
        rules: What its images may be; with the encoding bgr8 red and blue are exchanged.

    Raises:
        DataError: not a video, damaged, too large, or without a frame at one of the times.
    """
    try:
        with _OPENED.use(path) as video:
            return list(video.at(times, period, rules))
    except (OSError, ImageError, av.error.FFmpegError, IndexError) as error:
        raise DataError(f"{path}: not a readable video ({error})") from error
