import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mobile_vla_ros.control import DriveState
from mobile_vla_ros.overlay import Camera, Drive, draw
from mobile_vla_ros.overlay.draw import STATES
from mobile_vla_ros.overlay.path import SMOOTHNESS, integrate

LEVEL = Camera(height=0.3, pitch=0.0, fov=math.pi / 2)  # focal length: half the width
TILTED = Camera(height=1.0, pitch=math.pi / 4, fov=math.pi / 2)
REST: NDArray[np.float64] = np.zeros((0, 2))
STANDING = Drive("stopped", "", "go to the box", 0.0, 0.0, REST, 0.2, 0.25)


def driving(linear_x: float, angular_z: float, steps: int = 8) -> Drive:
    plan = np.tile([linear_x, angular_z], (steps, 1))
    return Drive("driving", "", "go to the box", linear_x, angular_z, plan, 0.2, 0.25)


def grey(height: int = 480, width: int = 640) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 128, np.uint8)


def path_of(drive: Drive, camera: Camera = LEVEL) -> NDArray[np.bool_]:
    """The pixels (h, w) that a plan changes."""
    return np.any(draw(grey(), camera, drive, 0.4) != draw(grey(), camera, replace(drive, plan=REST), 0.4), axis=2)


@pytest.mark.parametrize(
    ("camera", "floor", "pixel"),
    [
        (LEVEL, (1.0, 0.0), (50.0, 55.0)),  # 0.3 below the line of sight at 1 m: 50 * 0.3 pixels
        (LEVEL, (2.0, 0.0), (50.0, 47.5)),
        (LEVEL, (1.0, 0.5), (25.0, 55.0)),  # y is to the left
        (LEVEL, (2.0, -0.5), (62.5, 47.5)),
        (TILTED, (1.0, 0.0), (50.0, 40.0)),  # where the line of sight meets the floor
        (TILTED, (1.0, 1.0), (50.0 - 50.0 / math.sqrt(2.0), 40.0)),
        (TILTED, (0.0, 0.0), (50.0, 90.0)),  # straight below: 45 degrees under the line of sight
        (replace(LEVEL, forward=0.5), (1.0, 0.0), (50.0, 70.0)),
    ],
)
def test_points_of_the_floor_are_seen_where_geometry_says(
    camera: Camera, floor: tuple[float, float], pixel: tuple[float, float]
) -> None:
    np.testing.assert_allclose(camera.project(np.array([floor]), 100, 80), [pixel])


def test_what_is_behind_the_camera_is_not_seen() -> None:
    floor = np.array([[-1.0, 0.0], [0.0, 0.0], [0.04, 0.0], [0.06, 0.0]])
    assert np.isnan(LEVEL.project(floor, 100, 80)).all(axis=1).tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("change", "name"),
    [({"height": 0.0}, "height"), ({"pitch": math.nan}, "pitch"), ({"fov": 3.2}, "fov"), ({"forward": math.inf}, "f")],
)
def test_a_camera_that_cannot_be_is_refused(change: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=f"camera {name}.* is {next(iter(change.values()))}: expected above"):
        replace(LEVEL, **change)


def test_a_straight_path_and_a_quarter_circle_end_where_they_should() -> None:
    np.testing.assert_allclose(integrate(np.array([[0.5, 0.0]] * 4), 0.5)[-1], [1.0, 0.0, 0.0], atol=1e-12)
    turned = integrate(np.array([[math.pi / 2, math.pi / 2]]), 1.0)  # radius 1, to the left
    assert len(turned) == SMOOTHNESS + 1
    np.testing.assert_allclose(turned[-1], [1.0, 1.0, math.pi / 2], atol=1e-12)
    np.testing.assert_allclose(np.hypot(turned[:, 0], turned[:, 1] - 1.0), 1.0)
    np.testing.assert_allclose(integrate(np.array([[0.0, 1.0]]), 1.0)[:, :2], 0.0)


def test_the_path_is_as_wide_as_the_robot_and_straight_ahead() -> None:
    rows, columns = np.nonzero(path_of(driving(0.5, 0.0)))
    # 0.8 m planned and 1 m beyond: row 240 + 320 * 0.3 / 1.8 at the far end, 0.4 m are 71 pixels there.
    assert rows.min() == pytest.approx(240 + 320 * 0.3 / 1.8, abs=2)
    far = columns[rows == rows.min() + 1]
    assert (far.min(), far.max()) == (pytest.approx(320 - 35.6, abs=3), pytest.approx(320 + 35.6, abs=3))
    assert columns.min() + columns.max() == pytest.approx(640, abs=2)


def test_a_positive_turn_rate_leads_to_the_left() -> None:
    left, right = path_of(driving(0.5, 0.6)), path_of(driving(0.5, -0.6))
    assert np.nonzero(left)[1].mean() < 250
    assert np.nonzero(right)[1].mean() > 390
    assert (left != right[:, ::-1]).mean() < 0.01


def test_the_plan_ends_with_an_edge_and_goes_on_faintly() -> None:
    change = np.abs(draw(grey(), LEVEL, driving(0.5, 0.0), 0.4).astype(int) - 128).max(axis=2)
    column = change[:, 330]  # beside the middle, where no edge runs
    end = round(240 + 320 * 0.3 / 0.8)
    assert column[end - 2 : end + 3].max() > 60
    assert 0 < column[end - 20] < column[end + 20] < 60


def test_the_picture_outside_of_path_and_strip_and_the_input_stay_as_they_are() -> None:
    ground = np.full((500, 700, 3), 128, np.uint8)
    rgb = ground[10:490, 20:660]
    result = draw(rgb, LEVEL, driving(0.5, 0.3), 0.4)
    assert (ground == 128).all()
    assert result.shape == rgb.shape
    assert result.dtype == np.uint8
    assert not np.shares_memory(result, ground)
    changed = np.any(result != 128, axis=2)
    assert changed[:60].mean() > 0.99  # the strip
    assert not changed[70:240].any()  # above the horizon
    assert not changed[:, 600:][70:].any()  # the path turns left


@settings(max_examples=20)
@given(st.integers(1, 200), st.integers(32, 500), st.text(max_size=40), st.text(max_size=90))
def test_any_size_and_any_words_give_a_picture_of_a_size_that_depends_on_nothing_else(
    height: int, width: int, instruction: str, reason: str
) -> None:
    told = replace(driving(0.3, 0.5), instruction=instruction, reason=reason)
    shapes = {draw(grey(height, width), LEVEL, drive, 0.4).shape for drive in (told, STANDING)}
    (shape,) = shapes
    assert shape[1] >= 320
    assert shape[1] % width == 0
    assert shape == (height, width, 3) if width >= 320 else shape[0] > height * (shape[1] // width)


@pytest.mark.parametrize("drive", [STANDING, driving(0.0, 0.0), driving(0.0, 1.0), driving(-0.3, 0.0), driving(1e9, 9)])
def test_a_robot_that_stands_turns_or_drives_off_is_drawn(drive: Drive) -> None:
    for camera in (LEVEL, TILTED, replace(LEVEL, pitch=-1.5)):
        draw(grey(), camera, drive, 0.4)
    if not drive.linear_x > 0.0:
        assert not path_of(drive).any()


def test_every_state_of_the_controller_has_a_colour_of_its_own() -> None:
    assert set(STATES) >= {state.value for state in DriveState}
    assert len(set(STATES.values())) == len(STATES)
    red, green = (draw(grey(), LEVEL, replace(STANDING, state=name), 0.4) for name in ("stopped", "driving"))
    assert red[10, 12, 0] > 200 > 120 > red[10, 12, 1]
    assert green[10, 12, 1] > 200 > 120 > green[10, 12, 0]
    draw(grey(), LEVEL, replace(STANDING, state="something new"), 0.4)


def test_the_bar_is_as_full_as_the_task_is_done() -> None:
    def filled(stop: float) -> int:
        strip = draw(grey(), LEVEL, replace(STANDING, stop=stop), 0.4)[:70, 450:]
        return int((strip == STATES["stopped"]).all(axis=2).any(axis=0).sum())

    assert filled(0.0) == 0
    assert filled(0.5) == pytest.approx(filled(1.0) / 2, abs=2)
    assert filled(1.0) > 100


def test_the_reason_is_written_where_there_is_one() -> None:
    told, silent = (draw(grey(), LEVEL, replace(STANDING, reason=text), 0.4) for text in ("camera: silent", ""))
    rows = np.nonzero(np.any(told != silent, axis=(1, 2)))[0]
    assert 50 < rows.min() < rows.max() < 110


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"linear_x": math.nan}, r"command is nan m/s, 0.0 rad/s: expected finite"),
        ({"angular_z": math.inf}, r"command is 0.0 m/s, inf rad/s"),
        ({"plan": np.array([[0.1, math.nan]])}, "plan is not finite"),
        ({"plan": np.zeros(2)}, r"plan has shape \(2,\): expected \(n, 2\)"),
        ({"dt": 0.0}, "dt is 0.0 s"),
        ({"dt": math.nan}, "dt is nan s"),
        ({"stop": math.nan}, "stop is nan: expected a probability"),
        ({"stop": 1.1}, "stop is 1.1: expected a probability"),
    ],
)
def test_what_is_not_finite_is_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(STANDING, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("picture", [grey().astype(np.float32), grey()[:, :, 0], grey()[:0]])
def test_what_is_no_picture_is_refused(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\)"):
        draw(picture, LEVEL, STANDING, 0.4)


def test_a_picture_too_narrow_to_enlarge_is_refused() -> None:
    with pytest.raises(ValueError, match="31 pixels wide: expected at least 32"):
        draw(grey(31, 31), LEVEL, STANDING, 0.4)


@pytest.mark.parametrize("width", [0.0, math.nan])
def test_a_robot_without_width_is_refused(width: float) -> None:
    with pytest.raises(ValueError, match="robot_width is"):
        draw(grey(), LEVEL, STANDING, width)
