"""H.264 video that browsers play."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_video(file: Path, pictures: Iterable[NDArray[np.uint8]], rate: int) -> None:
    """Encode RGB uint8 (height, width, 3) pictures of one even size, under another name until done.

    Args:
        file: ends with .mp4.
        pictures: in order.
        rate: pictures per second.

    Raises:
        ValueError: no picture.
    """
    part = file.with_name(f"{file.stem}.part{file.suffix}")
    written = False
    with av.open(str(part), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            if not written:
                stream.height, stream.width = picture.shape[:2]
                written = True
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if not written:
            raise ValueError(f"{file}: a video needs at least one picture")
        container.mux(stream.encode())
    part.replace(file)
