import array

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("sensor_msgs")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_ros.images import ImageError, ImageRules, check, digest, to_image, to_rgb

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


# What a camera sees, RGB: each colour fills a 4 x 4 block, so that every encoding can tell them apart.
COLOURS = np.array(
    [[[200, 40, 30], [30, 180, 50]], [[40, 60, 210], [120, 120, 120]], [[230, 220, 60], [20, 20, 20]]], np.uint8
)
BLOCKS = COLOURS.repeat(4, axis=0).repeat(4, axis=1)


def yuv(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BT.601 of limited range, from its definition."""
    red, green, blue = np.moveaxis(rgb / 255.0, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    parts = [16 + 219 * luma, 128 + 112 * (blue - luma) / 0.886, 128 + 112 * (red - luma) / 0.701]
    return np.rint(np.stack(parts, axis=-1)).astype(np.uint8)


def rows_of(encoding: str, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The rows of bytes that a camera sends."""
    y, u, v = np.moveaxis(yuv(rgb), -1, 0)
    height, width = y.shape
    if encoding in ("nv12", "nv21"):
        pairs = np.stack([u, v] if encoding == "nv12" else [v, u], axis=-1)[::2, ::2]
        return np.concatenate([y, pairs.reshape(height // 2, width)])
    pixels = np.empty((height, width // 2, 4), np.uint8)
    places = {"uyvy": (1, 3, 0, 2), "yuyv": (0, 2, 1, 3)}[
        {"yuv422": "uyvy", "yuv422_yuy2": "yuyv"}.get(encoding, encoding)
    ]
    for place, values in zip(places, (y[:, ::2], y[:, 1::2], u[:, ::2], v[:, ::2]), strict=True):
        pixels[:, :, place] = values
    return pixels.reshape(height, 2 * width)


def mosaic(pattern: str, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a sensor sees behind filters of these colours: row 0 column 0, row 0 column 1, row 1 column 0, ..."""
    seen = np.empty(rgb.shape[:2], np.uint8)
    for number, colour in enumerate(pattern):
        row, column = divmod(number, 2)
        seen[row::2, column::2] = rgb[row::2, column::2, "rgb".index(colour)]
    return seen


def sent(encoding: str, rows: NDArray[np.uint8], size: tuple[int, int], padding: int = 0) -> Image:
    """A message of a picture of size (height, width)."""
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    data = array.array("B", padded.tobytes())
    return Image(height=size[0], width=size[1], encoding=encoding, step=padded.shape[1], data=data)


YUV = ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21"]
BAYER = ["rggb", "bggr", "gbrg", "grbg"]


@pytest.mark.parametrize("padding", [0, 2, 5])
@pytest.mark.parametrize("encoding", YUV)
def test_yuv_gives_the_colours_that_were_seen(encoding: str, padding: int) -> None:
    message = sent(encoding, rows_of(encoding, BLOCKS), BLOCKS.shape[:2], padding)
    message.data = message.data[: len(message.data) - padding]  # the last row needs no padding
    check(message)
    picture = to_rgb(message)
    assert picture.flags.c_contiguous
    assert np.abs(picture.astype(int) - BLOCKS).max() <= 3  # 8 bits each way


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("pattern", BAYER)
def test_a_mosaic_gives_the_colours_that_were_seen(pattern: str, padding: int) -> None:
    message = sent(f"bayer_{pattern}8", mosaic(pattern, BLOCKS), BLOCKS.shape[:2], padding)
    check(message)
    picture = to_rgb(message)
    for row, column in np.ndindex(COLOURS.shape[:2]):  # the pixels next to another colour are mixed
        inner = picture[4 * row + 1 : 4 * row + 3, 4 * column + 1 : 4 * column + 3]
        np.testing.assert_array_equal(inner, np.broadcast_to(COLOURS[row, column], (2, 2, 3)))


@pytest.mark.parametrize("pattern", BAYER)
def test_a_mosaic_of_odd_size_is_one_colour_to_its_edges(pattern: str) -> None:
    plain = np.broadcast_to(COLOURS[0, 0], (5, 3, 3))
    np.testing.assert_array_equal(to_rgb(sent(f"bayer_{pattern}8", mosaic(pattern, plain), (5, 3))), plain)


@pytest.mark.parametrize(
    ("encoding", "size", "expected"),
    [
        ("uyvy", (4, 5), "5 x 4 uyvy pixels: expected multiples of 2 x 1"),
        ("yuv422_yuy2", (4, 5), "expected multiples of 2 x 1"),
        ("nv12", (4, 5), "5 x 4 nv12 pixels: expected multiples of 2 x 2"),
        ("nv21", (5, 4), "4 x 5 nv21 pixels: expected multiples of 2 x 2"),
        ("bayer_rggb8", (4, 2), "2 x 4 bayer_rggb8 pixels: expected at least 3 x 3"),
        ("bayer_grbg8", (2, 4), "4 x 2 bayer_grbg8 pixels: expected at least 3 x 3"),
    ],
)
def test_a_size_that_the_encoding_cannot_have_is_refused(encoding: str, size: tuple[int, int], expected: str) -> None:
    message = sent(encoding, np.zeros((2 * size[0], 2 * size[1]), np.uint8), size)
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match=expected):
            use(message)


@pytest.mark.parametrize("encoding", [*YUV, *(f"bayer_{pattern}8" for pattern in BAYER)])
def test_data_that_lack_a_byte_and_a_step_that_lacks_one_are_refused(encoding: str) -> None:
    rows = rows_of(encoding, BLOCKS) if encoding in YUV else mosaic(encoding[6:10], BLOCKS)
    short = sent(encoding, rows, BLOCKS.shape[:2])
    short.data = short.data[:-1]
    narrow = sent(encoding, rows, BLOCKS.shape[:2])
    narrow.step -= 1
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match=f"image has {rows.size - 1} bytes: {len(rows)} rows of step"):
            use(short)
        with pytest.raises(ImageError, match=f"step is {rows.shape[1] - 1} bytes: 8 {encoding} pixels need"):
            use(narrow)


@pytest.mark.parametrize("encoding", ["bayer_rggb16", "rgb16", "", "RGB8"])
def test_another_encoding_is_refused_by_name(encoding: str) -> None:
    message = message_of("rgb8", RGB)
    message.encoding = encoding
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match=f"encoding '{encoding}' is not supported; expected one of rgb8, bgr8"):
            use(message)


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [
        ("mono16", "which of its values is white"),
        ("16UC1", "depth in mm, not a picture"),
        ("8UC3", "not what they mean"),
        ("nv24", "OpenCV has no conversion"),
    ],
)
def test_an_encoding_that_means_something_else_is_refused_with_the_reason(encoding: str, reason: str) -> None:
    message = message_of("rgb8", RGB)
    message.encoding = encoding
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match=rf"'{encoding}' is not supported \(.*{reason}.*\); expected one of rgb8"):
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
        ({"height": 4000}, "image has 105 bytes"),
        ({"width": 4000}, "image step is 21 bytes"),
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
    with pytest.raises(ImageError, match="format 'h264': neither JPEG nor PNG: it begins with 00 00 00 01 67"):
        check(CompressedImage(format="h264", data=[0, 0, 0, 1, 103]))
    broken = compressed(".png")
    broken.data = broken.data[:40]
    with pytest.raises(ImageError, match="is corrupt"):
        to_rgb(broken)


def of_format(extension: str, pixels: NDArray[np.generic], form: str) -> CompressedImage:
    """A message as image_transport makes it: OpenCV encodes the pixels, whatever their order."""
    return CompressedImage(format=form, data=cv2.imencode(extension, pixels)[1].ravel().tolist())


DEPTH = np.linspace(400, 4000, 48 * 64).reshape(48, 64).astype(np.uint16)
LARGE = COLOURS.repeat(16, axis=0).repeat(16, axis=1)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("16UC1; png compressed ", "'16UC1' is not supported .depth in mm, not a picture"),
        ("16UC1; compressedDepth png", "'16UC1' is not supported"),
        ("32FC1; compressedDepth png", "'32FC1' is not supported .depth in m, not a picture"),
        ("mono16; jpeg compressed mono8", "'mono16' is not supported"),
        ("rgb16; png compressed bgr16", "'rgb16' is not supported"),
        ("bayer_rggb16; jpeg compressed mono8", "'bayer_rggb16' is not supported"),
        ("64FC3; png compressed ", "'64FC3' is not supported"),
        ("16UC1", "'16UC1' is not supported"),
        ("mono16", "'mono16' is not supported"),
        ("8UC1; png compressed ", "'8UC1' is not supported .*set `encoding`"),
        ("8UC3; png compressed ", "'8UC3' is not supported .*set `encoding`"),
        ("8UC1; jpeg compressed mono8", "'8UC1' is not supported .*set `encoding`"),
        ("rgb8; png compressed rgb8", "whether red and blue are exchanged in 'rgb8' differs"),
    ],
)
def test_the_encoding_in_a_format_counts(form: str, reason: str) -> None:
    message = of_format(".png", LARGE, form)  # the data alone would do
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match=reason):
            use(message)
    if "8UC" in form or "rgb8" in form:
        return
    for encoding in ("bgr8", "mono8"):
        with pytest.raises(ImageError, match=reason):
            check(message, ImageRules(encoding))


@pytest.mark.parametrize("form", ["png", "", "bgr8; png compressed bgr8", "mono8; png compressed "])
def test_sixteen_bits_are_refused_whatever_the_format_says(form: str) -> None:
    for pixels in (DEPTH, LARGE.astype(np.uint16) * 257):
        message = of_format(".png", pixels, form)
        for rules in (ImageRules(), ImageRules("bgr8"), ImageRules("mono8")):
            for use in (check, to_rgb):
                with pytest.raises(ImageError, match="PNG has 16 bits a value: depth"):
                    use(message, rules)


@pytest.mark.parametrize("pattern", BAYER)
@pytest.mark.parametrize("made", ["; png compressed ", "; png compressed"])
def test_a_mosaic_in_a_png_is_interpolated(pattern: str, made: str) -> None:
    raw = to_rgb(sent(f"bayer_{pattern}8", mosaic(pattern, LARGE), LARGE.shape[:2]))
    message = of_format(".png", mosaic(pattern, LARGE), f"bayer_{pattern}8{made}")
    check(message)
    np.testing.assert_array_equal(to_rgb(message), raw)
    told = of_format(".png", mosaic(pattern, LARGE), "png")
    np.testing.assert_array_equal(to_rgb(told, ImageRules(f"bayer_{pattern}8")), raw)


def test_a_mosaic_that_was_made_a_colour_picture_is_one_and_one_with_colours_is_refused() -> None:
    message = of_format(".jpg", LARGE[..., ::-1], "bayer_rggb8; jpeg compressed bgr8")
    check(message)
    assert np.abs(to_rgb(message).astype(int) - LARGE).mean() < 5.0
    grey = of_format(".jpg", LARGE[..., 0], "bayer_rggb8; jpeg compressed mono8")  # image_transport has made it grey
    assert np.abs(to_rgb(grey).astype(int) - LARGE[..., :1]).mean() < 5.0
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match="has colours: encoding bayer_rggb8 has none"):
            use(of_format(".jpg", LARGE, "bayer_rggb8; jpeg compressed "))


@pytest.mark.parametrize("raw", ["rgb8", "bgr8", "rgba8", "uyvy", "nv12", "yuv422", "8UC3", "nv24"])
def test_what_image_transport_has_made_bgr8_has_the_files_colours(raw: str) -> None:
    message = of_format(".png", LARGE[..., ::-1], f"{raw}; png compressed bgr8")
    check(message)
    np.testing.assert_array_equal(to_rgb(message), LARGE)


@pytest.mark.parametrize(
    ("name", "encoding", "pixels"),
    [
        ("8UC3", "bgr8", RGB[..., ::-1]),
        ("8UC3", "rgb8", RGB),
        ("", "rgb8", RGB),
        ("RGB8", "rgb8", RGB),
        ("rgb8", "bgr8", RGB[..., ::-1]),
        ("8UC4", "bgra8", np.concatenate([RGB[..., ::-1], RGB[..., :1]], axis=2)),
    ],
)
def test_an_encoding_that_is_given_counts(name: str, encoding: str, pixels: NDArray[np.uint8]) -> None:
    message = sent(name, np.ascontiguousarray(pixels).reshape(5, -1), (5, 7))
    check(message, ImageRules(encoding))
    np.testing.assert_array_equal(to_rgb(message, ImageRules(encoding)), RGB)


def test_an_encoding_that_is_given_for_compressed_images() -> None:
    written = of_format(".png", LARGE[..., ::-1], "png")
    exchanged = of_format(".png", LARGE, "png")
    np.testing.assert_array_equal(to_rgb(written, ImageRules("rgb8")), LARGE)
    np.testing.assert_array_equal(to_rgb(exchanged, ImageRules("bgr8")), LARGE)
    # image_transport has compressed what a driver calls 8UC3: what it was is what is given.
    for encoding, pixels in (("bgr8", LARGE[..., ::-1]), ("rgb8", LARGE)):
        message = of_format(".png", pixels, "8UC3; png compressed ")
        np.testing.assert_array_equal(to_rgb(message, ImageRules(encoding)), LARGE)
    grey = of_format(".png", LARGE[..., 0], "8UC1; png compressed ")
    np.testing.assert_array_equal(to_rgb(grey, ImageRules("mono8")), np.repeat(LARGE[..., :1], 3, axis=2))
    with pytest.raises(ImageError, match="encoding nv12 is one of raw images"):
        check(written, ImageRules("nv12"))


@pytest.mark.parametrize("encoding", ["bgr8", "mono8", "bayer_rggb8", "yuyv"])
@pytest.mark.parametrize("name", ["16UC1", "32FC1", "mono16", "rgb16", "bayer_rggb16", "64FC1", "16SC1"])
def test_no_encoding_makes_a_picture_of_depth(name: str, encoding: str) -> None:
    message = sent(name, np.zeros((6, 60), np.uint8), (6, 8))
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match=f"'{name}' is not supported"):
            use(message, ImageRules(encoding))


@pytest.mark.parametrize(
    ("name", "encoding"), [("8UC3", "mono8"), ("8UC1", "bgr8"), ("bgr8", "yuyv"), ("8UC3", "bgra8")]
)
def test_an_encoding_of_another_size_is_refused(name: str, encoding: str) -> None:
    message = sent(name, np.zeros((6, 60), np.uint8), (6, 8))
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match=f"'{name}' has . values a pixel: encoding {encoding} has ."):
            use(message, ImageRules(encoding))


@pytest.mark.parametrize("change", [{"height": 2**32 - 1}, {"width": 2**32 - 1}, {"height": 4097}])
def test_a_raw_image_is_bounded(change: dict[str, int]) -> None:
    message = message_of("rgb8", RGB)
    for name, value in change.items():
        setattr(message, name, value)
    for use in (check, to_rgb):
        with pytest.raises(ImageError, match="pixels: expected at most 4096 x 4096"):
            use(message)
    check(message_of("rgb8", RGB), ImageRules(max_width=7, max_height=5))
    with pytest.raises(ImageError, match="7 x 5 pixels: expected at most 6 x 4096"):
        check(message_of("rgb8", RGB), ImageRules(max_width=6))


@pytest.mark.parametrize("rules", [{"encoding": "8UC3"}, {"max_width": 0}, {"max_height": -1}])
def test_rules_that_are_none_are_refused(rules: dict[str, object]) -> None:
    with pytest.raises(ImageError, match=r"expected (one of rgb8|1 or more)"):
        ImageRules(**rules)  # type: ignore[arg-type]


def test_a_picture_goes_into_a_message_and_back() -> None:
    message = to_image(RGB, Time(sec=3, nanosec=5), "camera_optical_frame")
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 5)
    assert (message.header.frame_id, message.encoding, message.step) == ("camera_optical_frame", "rgb8", 21)
    np.testing.assert_array_equal(to_rgb(message), RGB)


@pytest.mark.parametrize("picture", [RGB.astype(np.float32), RGB[:, :, 0], RGB[:0]])
def test_what_is_no_picture_goes_into_no_message(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match=r"expected uint8 \(height, width, 3\)"):
        to_image(picture, Time(), "camera")


@given(st.data())
def test_one_changed_byte_anywhere_changes_the_digest(data: st.DataObject) -> None:
    frame = message_of("bgr8", RGB, padding=3)
    same = message_of("bgr8", RGB, padding=3)
    same.header.stamp.sec = 9
    assert digest(same) == digest(frame)
    place = data.draw(st.integers(0, len(frame.data) - 1))
    same.data[place] ^= data.draw(st.integers(1, 255))
    assert digest(same) != digest(frame)


def test_the_digest_of_a_compressed_frame_is_of_its_data() -> None:
    assert digest(compressed(".png")) == digest(compressed(".png"))
    assert digest(compressed(".png")) != digest(compressed(".png", RGB[::-1].copy()))
