"""Headers are read before a decoder believes them: real images pass, hostile ones cost nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import HEIGHT, HOSTILE, REAL, RGB, WIDTH

from mobile_vla_models.image_header import ImageError, read_header
from mobile_vla_models.images import ImageRules, check_file, decode

GROWTH = 50 * 2**20  # bytes


@pytest.mark.parametrize("kind", REAL)
def test_real_images_pass_and_are_what_opencv_makes_of_them(kind: str) -> None:
    data = REAL[kind]
    header = read_header(data, WIDTH, HEIGHT)
    assert (header.width, header.height) == (WIDTH, HEIGHT)
    check_file(data)
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    found = decode(data)
    np.testing.assert_array_equal(found, bgr[..., ::-1])
    if not any(word in kind for word in ("grey", "bit", "palette")):
        assert np.abs(found.astype(int) - RGB).mean() < 12.0


@pytest.mark.parametrize("kind", REAL)
def test_the_bounds_are_of_the_size_that_the_image_has(kind: str) -> None:
    for rules in (ImageRules(max_width=WIDTH - 1), ImageRules(max_height=HEIGHT - 1)):
        for use in (check_file, decode):
            with pytest.raises(ImageError, match=f"{WIDTH} x {HEIGHT} pixels: expected at most"):
                use(REAL[kind], rules)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_images_are_refused_at_once_and_by_name(kind: str) -> None:
    data, reason = HOSTILE[kind]
    for use in (check_file, decode):
        began = perf_counter()
        with pytest.raises(ImageError, match=reason):
            use(data)
        assert perf_counter() - began < 0.5


@pytest.mark.parametrize("kind", REAL)
def test_an_image_that_is_cut_off_is_refused(kind: str) -> None:
    data = REAL[kind].rstrip(b"\0")
    for length in (*range(0, 64, 3), len(data) // 2, len(data) - 3):
        for use in (check_file, decode):
            with pytest.raises(ImageError):
                use(data[:length])


@given(
    kind=st.sampled_from(sorted(REAL)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 40),
)
@settings(max_examples=400, deadline=None)
def test_whatever_is_changed_the_answer_is_an_image_or_an_image_error(
    kind: str, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(REAL[kind])
    for place, value in changes:
        data[place % len(data)] = value
    data = data[: len(data) - cut]
    try:
        size = read_header(data, 4096, 4096)
        found = decode(bytes(data))
    except ImageError:
        return
    # An EXIF orientation may have been changed into one that turns the image.
    assert sorted(found.shape[:2]) == sorted((size.height, size.width))
    assert found.dtype == np.uint8


MEMORY = """
import sys
import numpy as np
from image_files import HOSTILE, REAL
from mobile_vla_models.image_header import ImageError
from mobile_vla_models.images import check_file, decode

def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

for data in REAL.values():
    decode(data)
files = [data for data, _ in HOSTILE.values()]
random = np.random.default_rng(1)
for data in [*REAL.values()] * 60:
    changed = bytearray(data)
    for place in random.integers(0, min(len(data), 700), random.integers(1, 8)):
        changed[place] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(256)])
    files.append(bytes(changed))
before = peak()
for data in files:
    for use in (check_file, decode):
        try:
            use(data)
        except ImageError:
            pass
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_hostile_images_take_no_memory() -> None:
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", MEMORY],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )
    print(f"{int(done.stdout) / 2**20:.1f} MiB more")
    assert int(done.stdout) < GROWTH
