"""The strip of words over a picture: state and instruction, speeds and stop probability, the reason."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .drive import Drive

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]

BACKGROUND: Final[Color] = (16, 18, 23)
TEXT: Final[Color] = (240, 242, 246)
FAINT: Final[Color] = (158, 165, 176)
TROUGH: Final[Color] = (64, 70, 80)
OPACITY = 0.78
PLAIN, BOLD = cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX
ROWS = 3
LONGEST = 300  # characters


class Strip:
    """The strip for pictures of one width.

    Args:
        width: of the picture, pixels.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._size = min(max(width // 40, 10), 22)  # pixels of a capital letter, nearly
        self._row = round(1.8 * self._size)

    @property
    def height(self) -> int:
        """Of all its rows, in pixels."""
        return ROWS * self._row + self._size // 2

    def draw(self, picture: Picture, drive: Drive, color: Color) -> None:
        """Draw over the top of a picture, uint8 (h, width, 3); the last row only if there is a reason."""
        height = self.height if drive.reason else self.height - self._row
        ground = picture[:height]
        cv2.addWeighted(np.full_like(ground, BACKGROUND), OPACITY, ground, 1.0 - OPACITY, 0.0, dst=ground)
        margin, size = self._size // 2 + 2, self._size
        left = margin + self._chip(picture, drive.state, margin, color) + margin
        said = _plain(drive.instruction)
        words, tint = (said, TEXT) if said else ("no instruction", FAINT)
        self._write(picture, words, left, 0, self._width - margin - left, tint)
        cells = (f"{drive.linear_x:+.2f} m/s", f"{drive.angular_z:+.2f} rad/s")
        cell = (self._width - 2 * margin) // 3
        for number, value in enumerate(cells):
            self._write(picture, value, margin + number * cell, 1, cell - size // 2, TEXT)
        self._stop(picture, drive.stop, margin + 2 * cell, cell, color)
        if drive.reason:
            self._write(picture, _plain(drive.reason), margin, 2, self._width - 2 * margin, color)

    def _chip(self, picture: Picture, state: str, left: int, color: Color) -> int:
        """The state on its colour; its width."""
        scale = cv2.getFontScaleFromHeight(BOLD, self._size)
        pad = self._size // 2
        width = cv2.getTextSize(state, BOLD, scale, 1)[0][0] + 2 * pad
        top = self._size // 4
        cv2.rectangle(picture, (left, top + 1), (left + width, top + self._row - 2), color, -1)
        self._write(picture, state, left + pad, 0, width, BACKGROUND, BOLD)
        return width

    def _stop(self, picture: Picture, stop: float | None, left: int, width: int, color: Color) -> None:
        """A bar as full as the task is said to be done."""
        label = self._write(picture, "stop", left, 1, width, FAINT) + self._size // 2
        if stop is None:
            self._write(picture, "unknown", left + label, 1, width - label, FAINT)
            return
        begin, end = left + label, left + width
        middle = self._base(1) - self._size // 2 + 1
        half = max(2, self._size // 4)
        cv2.rectangle(picture, (begin, middle - half), (end, middle + half), TROUGH, -1)
        if round(stop * (end - begin)) > 0:
            tip = begin + round(stop * (end - begin))
            cv2.rectangle(picture, (begin, middle - half), (tip, middle + half), color, -1)

    def _base(self, row: int) -> int:
        """The line on which the words of a row stand."""
        return self._size // 4 + row * self._row + (self._row + self._size) // 2

    def _write(
        self, picture: Picture, words: str, left: int, row: int, width: int, color: Color, face: int = PLAIN
    ) -> int:
        """Write into a row as much as fits into `width`; how wide that is."""
        scale = cv2.getFontScaleFromHeight(face, self._size)
        shown = words
        while shown and cv2.getTextSize(shown, face, scale, 1)[0][0] > width:
            words = words[:-1]
            shown = f"{words.rstrip()}..." if words else ""
        cv2.putText(picture, shown, (left, self._base(row)), face, scale, color, 1, cv2.LINE_AA)
        return int(cv2.getTextSize(shown, face, scale, 1)[0][0])


def _plain(text: str) -> str:
    """In one line, and no longer than any strip."""
    return " ".join(text[:LONGEST].split())
