"""Frames to try a policy on: of a folder of pictures, or of recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recordings import write_bag

from mobile_vla_models.configuration import ImagePreprocessing
from mobile_vla_models.data.frames import read_runs
from mobile_vla_models.errors import DataError
from mobile_vla_models.preprocessing import resize

SIZE = 28
IMAGE = ImagePreprocessing(size=SIZE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bilinear")
FRAMES = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "instruction.txt").write_text("go to the red box\n")
    for number, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return folder


def test_pictures_are_read_in_the_order_of_their_names(pictures: Path) -> None:
    [run] = read_runs(pictures, IMAGE, 0.4, 2)
    assert run.instruction == "go to the red box"
    assert np.array_equal(run.frames, FRAMES[:2])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK"])
def test_pictures_of_any_mode_come_as_three_colours(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "instruction.txt").write_text("stop")
    Image.new(mode, (50, 40)).save(folder / ("a.jpg" if mode == "CMYK" else "a.png"))
    [run] = read_runs(folder, IMAGE, 0.4, 4)
    assert run.frames.shape == (1, SIZE, SIZE, 3)
    assert run.frames.dtype == np.uint8


@pytest.mark.parametrize(
    ("mode", "size", "message"),
    [("I;16", (50, 40), "more than 8 bits a value"), ("RGB", (4097, 1), "4097 x 1 pixels: expected at most 4096 x")],
)
def test_depth_and_huge_pictures_are_refused(pictures: Path, mode: str, size: tuple[int, int], message: str) -> None:
    Image.new(mode, size).save(pictures / "1.png")
    with pytest.raises(DataError, match=rf"1\.png: not a readable picture .*{message}"):
        read_runs(pictures, IMAGE, 0.4, 3)


def test_pictures_without_their_sentence(pictures: Path) -> None:
    (pictures / "instruction.txt").unlink()
    with pytest.raises(DataError, match=r"want their sentence beside them, in instruction\.txt"):
        read_runs(pictures, IMAGE, 0.4, 2)


@pytest.mark.parametrize("sentence", ["", " \n", "go left\nstop"])
def test_a_sentence_that_is_none(pictures: Path, sentence: str) -> None:
    (pictures / "instruction.txt").write_text(sentence)
    with pytest.raises(DataError, match="expected one sentence"):
        read_runs(pictures, IMAGE, 0.4, 2)


def test_a_sentence_that_is_no_text(pictures: Path) -> None:
    (pictures / "instruction.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"instruction\.txt"):
        read_runs(pictures, IMAGE, 0.4, 2)


def test_a_picture_that_cannot_be_read_is_named(pictures: Path) -> None:
    whole = (pictures / "1.png").read_bytes()
    damaged = [b"", b"no picture", whole[: len(whole) // 2], whole[:8]]
    # One byte of the header, of a chunk's kind, of its content and of its checksum.
    damaged += [whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :] for place in (3, 13, 25, 30, 39, 50)]
    for content in damaged:
        (pictures / "1.png").write_bytes(content)
        with pytest.raises(DataError, match=r"1\.png: not a readable picture"):
            read_runs(pictures, IMAGE, 0.4, 3)


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(DataError, match=path.name):
            read_runs(path, IMAGE, 0.4, 2)


@pytest.mark.parametrize("interpolation", ["area", "bilinear", "bicubic"])
def test_pictures_are_squashed_as_the_policy_has_it(tmp_path: Path, interpolation: str) -> None:
    wide = np.random.default_rng(1).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "a.png")
    (tmp_path / "instruction.txt").write_text("stop")
    image = IMAGE.model_copy(update={"interpolation": interpolation})
    [run] = read_runs(tmp_path, image, 0.4, 4)
    assert np.array_equal(run.frames[0], resize(wide, image))


def test_other_files_beside_pictures_are_none(pictures: Path) -> None:
    (pictures / "notes.md").write_text("of the day")
    (pictures / "4.JPG").write_bytes((pictures / "2.png").read_bytes())
    [run] = read_runs(pictures, IMAGE, 0.4, 9)
    assert len(run.frames) == 4


def test_a_recording_gives_a_run_for_each_sentence(tmp_path: Path) -> None:
    write_bag(tmp_path / "run", [("turn left", 1.0), ("turn right", 3.0)])
    for path in (tmp_path, tmp_path / "run"):
        found = read_runs(path, IMAGE, 0.2, 16)
        # Of the long one no more than 8 frames.
        assert [(run.instruction, len(run.frames)) for run in found] == [("turn left", 5), ("turn right", 8)]
        assert found[0].frames.shape[1:] == (SIZE, SIZE, 3)
    few = read_runs(tmp_path, IMAGE, 0.2, 7)
    assert [(run.instruction, len(run.frames)) for run in few] == [("turn left", 5), ("turn right", 2)]
    assert np.array_equal(few[0].frames, found[0].frames)


def test_several_recordings_are_read_until_there_is_enough(tmp_path: Path) -> None:
    for name, sentence in (("a", "turn left"), ("b", "turn right"), ("c", "go")):
        write_bag(tmp_path / name, [(sentence, 1.0)])
    found = read_runs(tmp_path, IMAGE, 0.2, 10)
    assert [(run.instruction, len(run.frames)) for run in found] == [("turn left", 5), ("turn right", 5)]


def test_a_recording_without_a_sentence_is_named(tmp_path: Path) -> None:
    write_bag(tmp_path / "run", [("  ", 1.0)])
    with pytest.raises(DataError, match="no frame under an instruction"):
        read_runs(tmp_path, IMAGE, 0.2, 4)
