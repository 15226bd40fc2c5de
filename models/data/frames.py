"""Real pictures with their instructions, to try a policy on: of a recording, or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..configuration import ImagePreprocessing
from ..errors import DataError
from ..image_file import read_image
from ..image_header import ImageError
from ..preprocessing import resize
from ..sentence import one_sentence
from .configuration import Rosbag2Source
from .left_out import without_lost
from .rosbag2.find import find_bags
from .rosbag2.read import open_rosbag2
from .windows import gate

CAMERA = "/camera/image_raw"  # or its /compressed
INSTRUCTION_FILE = "instruction.txt"
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
# Frames side by side from one run: enough to see the history at work, few enough to see many runs.
_RUN = 8


@dataclass(frozen=True)
class Run:
    """Frames that follow each other under one instruction; frames uint8 (n, s, s, 3)."""

    instruction: str
    frames: NDArray[np.uint8]


def read_runs(path: Path, image: ImagePreprocessing, dt: float, count: int) -> list[Run]:
    """Up to `count` frames, of as many runs as that takes.

    Args:
        path: a rosbag2 recording, a folder of such, or a folder of pictures (jpg, png, bmp; in the order of their
            names) with `instruction.txt`, one sentence.
        image: pictures are squashed as it says.
        dt: seconds between frames of a recording.
        count: of frames in all.

    Raises:
        DataError: none of these, or nothing in it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: expected a rosbag2 recording, a folder of them, or a folder of pictures")
    pictures = sorted(file for file in path.iterdir() if file.suffix.lower() in _PICTURES)
    if pictures:
        return [_read_pictures(path, pictures[:count], image)]
    runs: list[Run] = []
    for bag in find_bags(path):
        config = Rosbag2Source(type="rosbag2", path=bag, cameras={"front": CAMERA})
        for episode in without_lost(open_rosbag2(config)[0])[0]:
            camera = episode.cameras["front"]
            rows = gate(camera.stamps, dt)[: min(_RUN, count)]
            runs.append(Run(episode.instruction, np.stack([resize(frame, image) for frame in camera.read(rows)])))
            count -= len(rows)
            if count == 0:
                return runs
    if not runs:
        raise DataError(f"{path}: its recordings hold no frame under an instruction")
    return runs


def _read_pictures(path: Path, files: list[Path], image: ImagePreprocessing) -> Run:
    try:
        text = (path / INSTRUCTION_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: pictures want their sentence beside them, in {INSTRUCTION_FILE} ({error})") from error
    instruction = one_sentence(text, str(path / INSTRUCTION_FILE))
    frames = []
    for file in files:
        try:
            frames.append(resize(read_image(file), image))
        except (OSError, ImageError) as error:
            raise DataError(f"{file}: not a readable picture ({error})") from error
    return Run(instruction, np.stack(frames))
