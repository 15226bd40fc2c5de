"""Changes to whole windows that leave them true: light, colour, a little blur and shift, and the mirror image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..configuration import Strict
from ..errors import DataError

# Part of the key of cached features: count up when the pictures that the same draws give change.
VERSION = 1

# A mirror before the robot: y and the rotations about x and z turn round (REP-103).
_TURNS_ROUND: Mapping[str, bool] = {
    "linear_x": False,
    "linear_y": True,
    "linear_z": False,
    "angular_x": True,
    "angular_y": False,
    "angular_z": True,
}
_ENGLISH = (
    ("left", "right"),
    ("leftmost", "rightmost"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("counterclockwise", "clockwise"),
)
# These mirror to clockwise, which mirrors to another word: refused.
_ONE_WAY = ("counter-clockwise", "anticlockwise", "anti-clockwise")
_KOREAN = (("왼쪽", "오른쪽"), ("왼편", "오른편"), ("왼손", "오른손"))
# These begin words; particles follow without a space. 좌 and 우 alone are parts of many other words.
_KOREAN_BEGINNINGS = (("좌측", "우측"), ("좌회전", "우회전"))
_KOREAN_WHOLE = (("좌", "우"), ("좌로", "우로"))
_PAIRS = (*_ENGLISH, *_KOREAN, *_KOREAN_BEGINNINGS, *_KOREAN_WHOLE)
_OTHER = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
_HANGUL = "가-힣"


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


def _both(pairs: Iterable[tuple[str, str]]) -> str:
    return _any(word for pair in pairs for word in pair)


_ENGLISH_WORD = re.compile(rf"(?<!\w)(?:{_any(_ONE_WAY)}|{_both(_ENGLISH)})(?!\w)", re.ASCII | re.IGNORECASE)
_KOREAN_WORD = re.compile(
    rf"{_both(_KOREAN)}|(?<![{_HANGUL}])(?:{_both(_KOREAN_BEGINNINGS)}|(?:{_both(_KOREAN_WHOLE)})(?![{_HANGUL}]))"
)


class AugmentationConfig(Strict):
    """How far each change goes at most; each is drawn uniformly, once for a whole window. Zero is none.

    `mirror` is for experts that are as symmetric as the world: one that always searches to the left is not.
    """

    brightness: float = Field(ge=0.0, lt=1.0, description="factor 1 ± this")
    contrast: float = Field(ge=0.0, lt=1.0, description="factor 1 ± this, about the picture's mean")
    saturation: float = Field(ge=0.0, le=1.0, description="factor 1 ± this")
    hue: float = Field(ge=0.0, le=0.5, description="± this share of the colour circle; colours are names of things")
    blur: float = Field(ge=0.0, description="standard deviation up to this, as a share of the width")
    shift: float = Field(ge=0.0, lt=0.5, description="± this share of the picture, both ways")
    rotation: float = Field(ge=0.0, le=45.0, description="± degrees")
    crop: float = Field(ge=0.0, lt=1.0, description="share that is cut away, up to this")
    mirror: bool = Field(description="half of all windows mirrored, with their actions, states and words")


class Look:
    """One draw: changes pictures, all in the same way.

    Args:
        config: how far it may go.
        rng: that is drawn from.
    """

    def __init__(self, config: AugmentationConfig, rng: np.random.Generator) -> None:
        draw = rng.uniform(-1.0, 1.0, size=9)
        self.brightness = 1.0 + config.brightness * draw[0]
        self.contrast = 1.0 + config.contrast * draw[1]
        self.saturation = 1.0 + config.saturation * draw[2]
        self.hue = config.hue * draw[3]
        self.blur = config.blur * abs(draw[4])
        self.shift = (config.shift * draw[5], config.shift * draw[6])
        self.rotation = config.rotation * draw[7]
        self.zoom = 1.0 / (1.0 - config.crop * abs(draw[8]))

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Change a picture, uint8 (h, w, 3); what leaves the picture is lost, its edge is continued inwards."""
        return self._colour(self._move(self._blur(picture)))

    def _blur(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        sigma = self.blur * picture.shape[1]
        return picture if sigma < 0.1 else np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.uint8)

    def _move(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.shift == (0.0, 0.0) and self.rotation == 0.0 and self.zoom == 1.0:
            return picture
        height, width = picture.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), self.rotation, self.zoom)
        matrix[:, 2] += (self.shift[0] * width, self.shift[1] * height)
        moved = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, dtype=np.uint8)

    def _colour(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if (self.brightness, self.contrast, self.saturation, self.hue) == (1.0, 1.0, 1.0, 0.0):
            return picture
        if self.saturation != 1.0 or self.hue != 0.0:
            hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV_FULL).astype(np.float32)
            hsv[..., 0] = (hsv[..., 0] + 256.0 * self.hue) % 256.0
            hsv[..., 1] *= self.saturation
            picture = np.asarray(
                cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB_FULL), dtype=np.uint8
            )
        values = picture.astype(np.float32)
        mean = values.mean()
        values = ((values - mean) * self.contrast + mean) * self.brightness
        return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def mirror_picture(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Left and right exchanged, uint8 (h, w, 3)."""
    return np.ascontiguousarray(picture[:, ::-1])


def mirror_signs(names: Sequence[str]) -> NDArray[np.float32]:
    """What each dimension is multiplied with in the mirror: -1 or 1, float32 (k,).

    Raises:
        DataError: a name of which it is not known.
    """
    unknown = [name for name in names if name not in _TURNS_ROUND]
    if unknown:
        raise DataError(
            f"augmentation.mirror: nobody knows whether {', '.join(unknown)} turns round in a mirror; "
            f"known are {', '.join(_TURNS_ROUND)}"
        )
    return np.array([-1.0 if _TURNS_ROUND[name] else 1.0 for name in names], dtype=np.float32)


def mirror_values(values: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    """Actions or states in the mirror, (..., k); `names` are those of the last axis.

    Raises:
        DataError: a name of which it is not known what becomes of it.
    """
    return np.asarray(values * mirror_signs(names), dtype=np.float32)


def mirror_sentence(sentence: str) -> str:
    """The sentence in the mirror: left and right, in English or Korean, exchanged as whole words.

    Raises:
        DataError: it holds a word that would not mirror back, such as counter-clockwise.
    """
    mirrored = _exchange(sentence)
    if _exchange(mirrored) != sentence:
        raise DataError(f"augmentation.mirror: {sentence!r} would not come back from its mirror image {mirrored!r}")
    return mirrored


def _exchange(sentence: str) -> str:
    def other(match: re.Match[str]) -> str:
        word = match.group()
        found = _OTHER.get(word.lower(), "clockwise")
        return found.upper() if word.isupper() else found.capitalize() if word[0].isupper() else found

    return _KOREAN_WORD.sub(other, _ENGLISH_WORD.sub(other, sentence))
