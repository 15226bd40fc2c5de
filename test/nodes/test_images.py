import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("sensor_msgs")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_ros.images import ImageError, check, to_image, to_rgb

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def message_of(encoding: str, rgb: NDArray[np.uint8], padding: int = 0) -> Image:
    alpha = np.full((*rgb.shape[:2], 1), 77, np.uint8)
    pixels = {
        "rgb8": rgb,
        "bgr8": rgb[:, :, ::-1],
        "rgba8": np.concatenate([rgb, alpha], axis=2),
        "bgra8": np.concatenate([rgb[:, :, ::-1], alpha], axis=2),
        "mono8": rgb[:, :, :1],
    }[encoding]
    height, width, channels = pixels.shape
    rows = np.full((height, width * channels + padding), 99, np.uint8)
    rows[:, : width * channels] = pixels.reshape(height, -1)
    return Image(height=height, width=width, encoding=encoding, step=rows.shape[1], data=rows.ravel().tolist())


@given(
    st.sampled_from(["rgb8", "bgr8", "rgba8", "bgra8", "mono8"]),
    st.integers(0, 9),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 1),
)
def test_every_encoding_gives_the_same_picture_whatever_the_step(
    encoding: str, padding: int, height: int, width: int, is_bigendian: int
) -> None:
    rgb = np.random.default_rng(height * 10 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    message = message_of(encoding, rgb, padding)
    message.is_bigendian = is_bigendian
    check(message)
    result = to_rgb(message)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, np.repeat(rgb[:, :, :1], 3, axis=2) if encoding == "mono8" else rgb)


def test_the_last_row_needs_no_padding() -> None:
    message = message_of("rgb8", RGB, padding=4)
    message.data = message.data[:-4]
    np.testing.assert_array_equal(to_rgb(message), RGB)


@pytest.mark.parametrize("encoding", ["yuv422", "16UC1", "bayer_rggb8", "", "RGB8"])
def test_another_encoding_is_refused_by_name(encoding: str) -> None:
    message = message_of("rgb8", RGB)
    message.encoding = encoding
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match=f"encoding '{encoding}' is not supported; expected one of rgb8, bgr8"):
            use(message)


@pytest.mark.parametrize("change", [{"height": 0}, {"width": 0}, {"data": []}])
def test_an_empty_image_is_refused(change: dict[str, object]) -> None:
    message = message_of("rgb8", RGB)
    for name, value in change.items():
        setattr(message, name, value)
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match="image is empty"):
            use(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 20}, "image step is 20 bytes: 7 rgb8 pixels need 21"),
        ({"step": 0}, "image step is 0 bytes"),
        ({"height": 6}, "image has 105 bytes: 6 rows of step 21 need 126"),
        ({"height": 2**32 - 1}, "image has 105 bytes"),
        ({"width": 2**32 - 1}, "image step is 21 bytes"),
    ],
)
def test_a_size_that_its_data_contradict_is_refused(change: dict[str, int], message: str) -> None:
    image = message_of("rgb8", RGB)
    for name, value in change.items():
        setattr(image, name, value)
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match=message):
            use(image)


def compressed(extension: str, rgb: NDArray[np.uint8] = RGB) -> CompressedImage:
    data = cv2.imencode(extension, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
    return CompressedImage(format=f"rgb8; {extension[1:]} compressed bgr8", data=data.ravel().tolist())


def test_png_comes_back_exactly() -> None:
    check(compressed(".png"))
    np.testing.assert_array_equal(to_rgb(compressed(".png")), RGB)


def test_jpeg_keeps_its_colours() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 250
    picture = to_rgb(compressed(".jpg", red))
    assert picture.shape == red.shape
    assert np.abs(picture.astype(int) - red.astype(int)).max() < 10


def test_compressed_images_that_are_none_are_refused() -> None:
    with pytest.raises(ImageError, match="image is empty: format 'jpeg', 0 bytes"):
        to_rgb(CompressedImage(format="jpeg"))
    with pytest.raises(ImageError, match="format 'h264' is neither JPEG nor PNG"):
        check(CompressedImage(format="h264", data=[0, 0, 0, 1, 103]))
    broken = compressed(".png")
    broken.data = broken.data[:40]
    with pytest.raises(ImageError, match="is corrupt"):
        to_rgb(broken)


def test_a_picture_goes_into_a_message_and_back() -> None:
    message = to_image(RGB, Time(sec=3, nanosec=5), "camera_optical_frame")
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 5)
    assert (message.header.frame_id, message.encoding, message.step) == ("camera_optical_frame", "rgb8", 21)
    np.testing.assert_array_equal(to_rgb(message), RGB)


@pytest.mark.parametrize("picture", [RGB.astype(np.float32), RGB[:, :, 0], RGB[:0]])
def test_what_is_no_picture_goes_into_no_message(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match=r"expected uint8 \(height, width, 3\)"):
        to_image(picture, Time(), "camera")
