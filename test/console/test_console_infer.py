import re
from pathlib import Path

import numpy as np
import pytest
from console_user import ConsoleUser, rows
from numpy.typing import NDArray

from mobile_vla_models import VLAPolicy
from mobile_vla_models.console.pictures import read_picture
from mobile_vla_models.console.session import is_topic

RED, BLUE = "go to the red box", "go to the blue box"


def answers(policy: VLAPolicy, picture: Path, text: str, steps: int) -> list[NDArray[np.float64]]:
    """What the policy itself says, as the console's table has it: row, s, m/s, rad/s, probability of stop."""
    policy.reset()
    rgb = read_picture(picture)
    tables = []
    for _ in range(steps):
        chunk = policy.step(rgb, text)
        number = np.arange(len(chunk.continuous))[:, None]
        tables.append(np.hstack([number, number * 0.2, chunk.continuous, chunk.binary]))
    policy.reset()
    return tables


def test_the_table_holds_every_action_with_its_unit(user: ConsoleUser, shipped: VLAPolicy, picture: Path) -> None:
    expected = answers(shipped, picture, RED, 1)[0]
    shown = user.says(f"infer '{picture}' \"{RED}\"")
    assert re.search(r"^step 1, 1 of 16 frames in the window, \d+\.\d ms", shown)
    for title in ("row", "time (s)", "linear_x (m/s)", "angular_z (rad/s)", "stop (probability)"):
        assert title in shown
    assert rows(shown).shape == (shipped.config.chunk, 5)
    np.testing.assert_allclose(rows(shown), expected, atol=6e-4)


def test_infer_alone_takes_a_further_frame_of_the_same_run(
    user: ConsoleUser, shipped: VLAPolicy, picture: Path
) -> None:
    first, second, third = answers(shipped, picture, RED, 3)
    assert np.abs(first - second).max() > 2e-3
    np.testing.assert_allclose(rows(user.says(f"infer '{picture}' \"{RED}\"")), first, atol=6e-4)
    shown = user.says("infer")
    assert shown.startswith("step 2, 2 of 16 frames in the window")
    np.testing.assert_allclose(rows(shown), second, atol=6e-4)
    shown = user.says(f"infer '{picture}'")
    assert shown.startswith("step 3, 3 of 16")
    np.testing.assert_allclose(rows(shown), third, atol=6e-4)


def test_another_text_begins_a_new_run_and_says_so(user: ConsoleUser, shipped: VLAPolicy, picture: Path) -> None:
    expected = answers(shipped, picture, BLUE, 1)[0]
    user.says(f"infer '{picture}' \"{RED}\"")
    shown = user.says(f'infer "{BLUE}"')
    assert shown.startswith("the text changed: history forgotten, a new run begins\nstep 1, 1 of 16 frames")
    np.testing.assert_allclose(rows(shown), expected, atol=6e-4)
    assert "the text changed" not in user.says(f'infer "{BLUE}"')


def test_the_window_is_full_at_its_length(user: ConsoleUser, shipped: VLAPolicy, picture: Path) -> None:
    user.says(f"infer '{picture}' \"{RED}\"")
    for _ in range(shipped.config.window - 1):
        user.says("infer")
    assert user.says("infer").startswith("step 17, 16 of 16 frames in the window")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("infer", 'there is no last picture yet: expected infer IMAGE|TOPIC "TEXT"'),
        ('infer "go there"', "there is no last picture yet"),
        ("infer missing.png go", "there is no file missing.png"),
        ("infer /missing.png go", "there is no file /missing.png"),
        ("infer a b c", 'expected infer IMAGE|TOPIC "TEXT", with the text in quotes; got 3 words'),
        ('infer "a', "No closing quotation"),
    ],
)
def test_what_cannot_be_inferred_is_said_in_one_line(user: ConsoleUser, line: str, reason: str) -> None:
    shown = user.says(line)
    assert shown.startswith(f"error: {reason}")
    assert shown.count("\n") == 1


def test_a_picture_needs_a_text_the_first_time(user: ConsoleUser, picture: Path) -> None:
    assert user.says(f"infer '{picture}'") == 'error: there is no last text yet: expected infer IMAGE|TOPIC "TEXT"\n'


def test_a_file_that_is_no_picture_leaves_the_run_as_it_is(user: ConsoleUser, picture: Path, tmp_path: Path) -> None:
    other, damaged = tmp_path / "[a].txt", tmp_path / "damaged.png"
    other.write_text("x")
    damaged.write_bytes(picture.read_bytes()[:300])
    user.says(f"infer '{picture}' \"{RED}\"")
    assert (
        user.says(f"infer {other}")
        == f"error: {other}: it is no picture of a kind that is known, such as PNG or JPEG\n"
    )
    assert user.says(f"infer {damaged}").startswith(f"error: {damaged}: it is not readable as a picture (")
    assert user.says("infer").startswith("step 2, ")


def test_a_text_that_the_policy_refuses_ends_the_run_and_says_so(
    user: ConsoleUser, shipped: VLAPolicy, picture: Path
) -> None:
    user.says(f"infer '{picture}' \"{RED}\"")
    error, note = user.says(f"infer '{picture}' ''").splitlines()
    assert error.startswith("error: ")
    assert note == "history forgotten: the next frame begins a new run"
    expected = answers(shipped, picture, RED, 1)[0]
    shown = user.says("infer")
    assert shown.startswith("step 1, ")
    np.testing.assert_allclose(rows(shown), expected, atol=6e-4)


def test_an_interrupted_step_leaves_no_half_frame_behind(
    user: ConsoleUser, shipped: VLAPolicy, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answers(shipped, picture, RED, 1)[0]
    user.says(f"infer '{picture}' \"{RED}\"")

    def interrupted(_: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shipped.model.fusion, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            user.ends("infer")
    np.testing.assert_allclose(rows(user.says("infer")), first, atol=6e-4)


def test_pictures_of_every_mode_become_rgb(tmp_path: Path) -> None:
    from PIL import Image

    red = Image.new("RGB", (4, 3), (250, 10, 20))
    red.save(tmp_path / "rgb.png")
    red.convert("RGBA").save(tmp_path / "rgba.png")
    red.quantize(4).save(tmp_path / "palette.png")
    for file in tmp_path.iterdir():
        rgb = read_picture(file)
        assert (rgb.shape, rgb.dtype) == ((3, 4, 3), np.dtype(np.uint8))
        assert rgb[0, 0].tolist() == [250, 10, 20]
    Image.new("L", (2, 2), 9).save(tmp_path / "grey.png")
    assert read_picture(tmp_path / "grey.png")[1, 1].tolist() == [9, 9, 9]


def test_what_begins_with_a_slash_is_a_topic_unless_it_is_a_file(tmp_path: Path) -> None:
    assert is_topic("/camera/image_raw")
    assert not is_topic("/camera/image.png")
    assert not is_topic("camera/image_raw")
    file = tmp_path / "frame"
    assert is_topic(str(file))
    file.touch()
    assert not is_topic(str(file))
