"""Which features a fusion layer may have been fed with, by their widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from ..documents import first_of
from ..errors import ConversionError

# One name for those that differ in length only; which of the two it was is the user's to say.
ALTERNATIVES = {"clip_image": "clip_image_raw", "clip_text": "clip_text_raw"}
_SHOWN = 12


def feature_widths(kosmos: Mapping[str, int], clip: Mapping[str, int]) -> dict[str, int]:
    """Width of every feature of a frame.

    Args:
        kosmos: `text` and `vision`, widths of the towers.
        clip: `text`, `vision`, and `projection`.
    """
    return {
        "backbone": kosmos["text"],
        "backbone_image": kosmos["text"],
        "backbone_vision": kosmos["vision"],
        "clip_image_pooled": clip["vision"],
        "clip_image": clip["projection"],
        "clip_text_pooled": clip["text"],
        "clip_text": clip["projection"],
    }


def recipes(widths: Mapping[str, int], total: int) -> list[tuple[str, ...]]:
    """All sets of features whose widths come to `total`, the smallest first."""
    return [
        chosen
        for count in range(1, len(widths) + 1)
        for chosen in combinations(widths, count)
        if sum(widths[name] for name in chosen) == total
    ]


def check_fusion_inputs(chosen: Sequence[str] | None, widths: Mapping[str, int], total: int) -> None:
    """Refuse features that a fusion layer of `total` inputs cannot have been fed with.

    Raises:
        ConversionError: none were named, or their widths come to something else; the sets that fit are listed.
    """
    plain = {raw: name for name, raw in ALTERNATIVES.items()}
    if chosen is not None:
        sizes = [widths[plain.get(name, name)] for name in chosen]
        if sum(sizes) == total:
            return
        summands = " + ".join(f"{name} {size}" for name, size in zip(chosen, sizes, strict=True))
        said = f"--fusion-inputs {','.join(chosen)} come to {sum(sizes)} ({summands}), feature_fusion takes {total}"
    else:
        said = f"feature_fusion takes {total} inputs, and no tensor says which: name them in their order"
    fitting = [",".join(recipe) for recipe in recipes(widths, total)]
    known = ", ".join(f"{name} {width}" for name, width in widths.items())
    raise ConversionError(
        f"{said} (--fusion-inputs). Of these widths: {first_of(fitting, _SHOWN, ' | ') or 'none'}. Widths: {known}; "
        f"{' and '.join(f'{name} (unit length) may be {raw}' for name, raw in ALTERNATIVES.items())}"
    )
