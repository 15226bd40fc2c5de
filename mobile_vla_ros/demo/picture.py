"""One picture of the video: the camera with the command drawn in, and the room from above with the path."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..sim.base import ROBOT_RADIUS, Pose2D, Velocity
from ..sim.world import CAMERA_FORWARD, CAMERA_HEIGHT, CAMERA_WIDTH, TOP_VIEW_SIZE, World
from .recording import Frame, Motion, Recording, latest

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]

MARGIN = 16  # pixels, as all sizes here
ZOOM = 4
HEADER, FOOTER = 64, 72
LEFT_WIDTH = CAMERA_WIDTH * ZOOM
WIDTH = LEFT_WIDTH + TOP_VIEW_SIZE + 3 * MARGIN
HEIGHT = CAMERA_HEIGHT * ZOOM + HEADER + FOOTER
TOP_LEFT = 2 * MARGIN + LEFT_WIDTH  # column where the view from above begins
BAR_WIDTH, BAR_HEIGHT = 200, 14

BACKGROUND: Color = (24, 27, 32)
TEXT: Color = (236, 239, 244)
FAINT: Color = (140, 147, 158)
TROUGH: Color = (52, 58, 68)
COMMAND: Color = (0, 229, 255)
PATHS: tuple[Color, ...] = ((0, 229, 255), (255, 64, 160), (190, 255, 0), (255, 160, 60), (150, 150, 255))

AHEAD = 2.0  # s of the commanded motion that is drawn on the floor
ELSEWHERE = Pose2D(1000.0, 0.0, 0.0)  # out of sight
LEAST_TURN = 0.05  # rad/s that get an arrow


class Composer:
    """Draws the recording, picture by picture."""

    def __init__(self, recording: Recording, twin: World, maximum: Velocity) -> None:
        """Prepare.

        Args:
            recording: what happened.
            twin: the same room; its robot is moved.
            maximum: speeds at which the bars are full.
        """
        self._recording = recording
        self._twin = twin
        self._maximum = maximum
        self._large, self._small = _font(26), _font(15)
        self._starts = [run.start for run in recording.runs]
        twin.move_robot(ELSEWHERE)
        self._room = twin.top_view()

    def compose(self, frame: Frame) -> Picture:
        """The picture for the moment of a camera frame, RGB uint8 (HEIGHT, WIDTH, 3)."""
        stamp = frame.stamp
        drive = latest(self._recording.drives, stamp)
        velocity = drive.velocity if drive is not None else Velocity(0.0, 0.0)
        canvas = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
        canvas[:] = BACKGROUND
        rows = slice(HEADER, HEADER + CAMERA_HEIGHT * ZOOM)
        canvas[rows, MARGIN : MARGIN + LEFT_WIDTH] = self._camera(frame.rgb, velocity)
        canvas[rows, TOP_LEFT : TOP_LEFT + TOP_VIEW_SIZE] = self._from_above(stamp)
        image = Image.fromarray(canvas)
        self._words(ImageDraw.Draw(image), stamp, velocity)
        return np.asarray(image)

    def _camera(self, rgb: Picture, velocity: Velocity) -> Picture:
        """The camera's picture, enlarged, with the commanded motion on the floor ahead."""
        size = (LEFT_WIDTH, CAMERA_HEIGHT * ZOOM)
        picture = np.ascontiguousarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        path = self._floor_path(velocity)
        if len(path) >= 2:
            _draw_arrow(picture, path)
        elif abs(velocity.angular_z) > LEAST_TURN:
            _draw_arrow(picture, _turn_path(velocity.angular_z / self._maximum.angular_z))
        return picture

    def _floor_path(self, velocity: Velocity) -> NDArray[np.float64]:
        """Pixels (n, 2) of where the command leads within AHEAD seconds, as far as that is in view."""
        camera, mount = self._twin.camera_info(), self._twin.scene.camera
        cosine, sine = math.cos(mount.pitch), math.sin(mount.pitch)
        points = []
        x = y = yaw = 0.0
        step = AHEAD / 40.0
        for _ in range(40):
            x += velocity.linear_x * math.cos(yaw) * step
            y += velocity.linear_x * math.sin(yaw) * step
            yaw += velocity.angular_z * step
            ahead, below = x - CAMERA_FORWARD, mount.height
            depth = ahead * cosine + below * sine
            column = camera.cx - camera.fx * y / depth if depth > 0.05 else -1.0
            row = camera.cy - camera.fy * (ahead * sine - below * cosine) / depth if depth > 0.05 else -1.0
            if 0.0 <= row < CAMERA_HEIGHT:
                points.append((column * ZOOM, row * ZOOM))
        return np.array(points, dtype=np.float64).reshape(-1, 2)

    def _from_above(self, stamp: float) -> Picture:
        """The room with the path so far, and the robot at its head."""
        picture = self._room.copy()
        for number, start in enumerate(self._starts):
            end = self._starts[number + 1] if number + 1 < len(self._starts) else math.inf
            points = self._pixels([m for m in self._recording.motions if start <= m.stamp <= min(end, stamp)])
            cv2.polylines(picture, [points], False, PATHS[number % len(PATHS)], 2, cv2.LINE_AA)
        motion = latest(self._recording.motions, stamp)
        if motion is not None:
            x, y, yaw = motion.pose
            nose = (x + ROBOT_RADIUS * math.cos(yaw), y + ROBOT_RADIUS * math.sin(yaw))
            place, tip, rim = (
                tuple(round(value) for value in self._twin.top_view_pixel(*point))
                for point in ((x, y), nose, (x + ROBOT_RADIUS, y))
            )
            cv2.circle(picture, place, rim[0] - place[0], BACKGROUND, -1, cv2.LINE_AA)
            cv2.line(picture, place, tip, TEXT, 3, cv2.LINE_AA)
        return picture

    def _pixels(self, motions: list[Motion]) -> NDArray[np.int32]:
        pixels = [self._twin.top_view_pixel(motion.pose.x, motion.pose.y) for motion in motions]
        return np.rint(np.array(pixels, dtype=np.float64)).astype(np.int32).reshape(-1, 1, 2)

    def _words(self, draw: ImageDraw.ImageDraw, stamp: float, velocity: Velocity) -> None:
        said = latest(self._recording.instructions, stamp)
        told = latest(self._recording.statuses, stamp)
        heading = f"“{said.text}”" if said is not None and said.text else "no instruction"
        middle = HEADER // 2
        draw.text((MARGIN, middle), heading, TEXT, self._large, anchor="lm")
        begin = self._recording.frames[0].stamp
        status = f"{told.text if told is not None else ''}   {stamp - begin:5.1f} s"
        draw.text((WIDTH - MARGIN, middle), status.strip(), FAINT, self._small, anchor="rm")
        for item in self._twin.scene.objects:
            column, row = self._twin.top_view_pixel(item.x, item.y - item.radius)
            place = (TOP_LEFT + column, HEADER + row + 4.0)
            draw.text(place, item.name, TEXT, self._small, anchor="ma", stroke_width=2, stroke_fill=BACKGROUND)
        line = HEIGHT - FOOTER // 2
        share = velocity.linear_x / self._maximum.linear_x
        self._bar(draw, MARGIN, line, "linear_x", share, f"{velocity.linear_x:+.2f} m/s")
        # Left is left: a positive angular_z turns counter-clockwise.
        share = -velocity.angular_z / self._maximum.angular_z
        self._bar(draw, WIDTH // 2, line, "angular_z", share, f"{velocity.angular_z:+.2f} rad/s")

    def _bar(self, draw: ImageDraw.ImageDraw, left: int, line: int, name: str, share: float, value: str) -> None:
        """A bar that grows from its middle to the right (share 1) or to the left (-1)."""
        draw.text((left, line), name, FAINT, self._small, anchor="lm")
        begin, top = left + 90, line - BAR_HEIGHT // 2
        draw.rectangle((begin, top, begin + BAR_WIDTH, top + BAR_HEIGHT), TROUGH)
        zero = begin + BAR_WIDTH / 2.0
        tip = zero + max(-1.0, min(share, 1.0)) * BAR_WIDTH / 2.0
        draw.rectangle((min(zero, tip), top, max(zero, tip), top + BAR_HEIGHT), COMMAND)
        draw.line((zero, top - 4, zero, top + BAR_HEIGHT + 4), TEXT, 1)
        draw.text((begin + BAR_WIDTH + 16, line), value, TEXT, self._small, anchor="lm")


def _turn_path(share: float) -> NDArray[np.float64]:
    """Pixels (n, 2) of an arc round the bottom's middle, to the left for a positive share of the maximum."""
    sweep = max(-1.0, min(share, 1.0)) * 75.0 + math.copysign(15.0, share)  # degrees
    angles = np.radians(np.linspace(90.0, 90.0 + sweep, 24))
    column, row, radius = LEFT_WIDTH / 2.0, CAMERA_HEIGHT * ZOOM - 24.0, 56.0
    return np.stack([column + radius * np.cos(angles), row - radius * np.sin(angles)], axis=1)


def _draw_arrow(picture: Picture, points: NDArray[np.float64]) -> None:
    """An arrow along pixels (n, 2), two or more."""
    along = points[-1] - points[-2]
    along /= max(float(np.hypot(*along)), 1e-9)
    across = np.array([-along[1], along[0]])
    head = np.stack([points[-1] + 18.0 * along, points[-1] + 11.0 * across, points[-1] - 11.0 * across])
    line, tip = (np.rint(pixels).astype(np.int32).reshape(-1, 1, 2) for pixels in (points, head))
    for color, width in ((BACKGROUND, 9), (COMMAND, 5)):
        cv2.polylines(picture, [line], False, color, width, cv2.LINE_AA)
        cv2.polylines(picture, [tip], True, color, width - 4, cv2.LINE_AA)
    cv2.fillPoly(picture, [tip], COMMAND, cv2.LINE_AA)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib: it is everywhere the same."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
