"""An audit as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...documents import first_of, write_text
from ..episode import Episode
from . import plots
from .figures import overall_rows
from .flags import Flag
from .run import Audit, EpisodeReport, Example

NAMED = 12  # episodes of a flag
ROWS = 200  # of the table of episodes; the JSON file has all

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #22272e; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .3rem .6rem; border-bottom: 1px solid #e3e1da;
text-align: left; vertical-align: top; } td:first-child { white-space: nowrap; } th { font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.flag { border-left: 5px solid; padding: .3rem .8rem; margin: .7rem 0; background: #f7f6f2; }
.error { border-color: #c0262d; } .warning { border-color: #d99a00; } .note { border-color: #2f7f93; }
.episodes { color: #6a6f76; font-size: .85rem; overflow-wrap: anywhere; }
.plots { display: flex; flex-wrap: wrap; gap: .5rem; } .plots img { max-width: 100%; }
figure { display: inline-block; margin: 0 1rem 1rem 0; } figcaption { font-size: .85rem; max-width: 38rem; }
figure img { margin-right: 2px; }
"""


def write_page(audit: Audit, episodes: Sequence[Episode], title: str, path: Path) -> None:
    """Write the page beside its name, then rename.

    Args:
        audit: of these episodes.
        episodes: their commands are drawn.
        title: of the page: what was audited.
        path: of the file.

    Raises:
        OSError: not writable.
    """
    write_text(path, page(audit, episodes, title))


def page(audit: Audit, episodes: Sequence[Episode], title: str) -> str:
    """The page as text."""
    pictures = [
        plots.action_histogram(episodes, audit),
        plots.turning(audit),
        plots.lengths(audit),
        plots.delays(audit),
        plots.rates(audit),
        plots.sentences(audit),
    ]
    drawn = "".join(f'<img src="{_uri(png, "png")}" alt="plot">' for png in pictures if png is not None)
    rows = "".join(f"<tr><td>{escape(label)}</td><td>{escape(value)}</td></tr>" for label, value in overall_rows(audit))
    flags = "".join(_flag(flag) for flag in audit.flags) or "<p>Nothing to complain of.</p>"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>Audit of {escape(title)}</h1>"
        f"<h2>Flags</h2>{flags}"
        f"<h2>Overall</h2><table>{rows}</table>"
        f'<h2>Plots</h2><div class="plots">{drawn}</div>'
        f"<h2>Frames: first, middle, last</h2>{''.join(map(_example, audit.examples))}"
        f"<h2>Episodes</h2>{_episodes(audit)}</body></html>\n"
    )


def _flag(flag: Flag) -> str:
    named = f'<div class="episodes">{escape(first_of(flag.episodes, NAMED, ", "))}</div>' if flag.episodes else ""
    return (
        f'<div class="flag {flag.severity.value}"><b>{flag.severity.value}, {escape(flag.check)}:</b> '
        f"{escape(flag.found)}. {escape(flag.remedy)}{named}</div>"
    )


def _example(example: Example) -> str:
    return "".join(
        f"<figure>{''.join(_image(frame) for frame in frames)}"
        f"<figcaption>{escape(example.source)}, {escape(camera)}: {escape(example.instruction)}</figcaption></figure>"
        for camera, frames in example.frames.items()
        if frames
    )


def _image(frame: NDArray[np.uint8]) -> str:
    done, data = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise ValueError(f"picture {frame.shape} {frame.dtype} cannot be encoded as jpeg")
    return f'<img src="{_uri(data.tobytes(), "jpeg")}" width="{frame.shape[1]}" alt="frame">'


def _episodes(audit: Audit) -> str:
    """Those with flags of their own first."""
    flagged = {source for flag in audit.flags for source in flag.episodes}
    order = sorted(audit.episodes, key=lambda report: report.source not in flagged)
    headings = "<th>episode</th><th>sentence</th>" + "".join(
        f'<th class="number">{name}</th>'
        for name in (
            "length (s)",
            "frames",
            "camera (Hz)",
            "commands (Hz)",
            "dead time (ms)",
            "moving",
            "at limit",
            "stands (s)",
        )
    )
    rows = "".join(_row(report, report.source in flagged) for report in order[:ROWS])
    more = f"<p>{len(order) - ROWS} more are in the JSON file.</p>" if len(order) > ROWS else ""
    return f"<table><tr>{headings}</tr>{rows}</table>{more}"


def _row(report: EpisodeReport, flagged: bool) -> str:
    motion = report.motion
    cameras = list(report.cameras.values())
    total = motion.moving_s + motion.stationary_s
    numbers = (
        f"{report.seconds:.1f}",
        " / ".join(str(camera.timing.count) for camera in cameras),
        " / ".join(_rate(camera.timing.rate_hz) for camera in cameras),
        _rate(report.commands.rate_hz),
        f"{report.delay.dead_time_s * 1e3:.0f}" if report.delay is not None else "-",
        f"{motion.moving_s / total:.0%}" if total else "-",
        f"{motion.any_saturated_s / motion.moving_s:.0%}" if motion.moving_s else "-",
        f"{motion.stands_at_end_s:.1f}",
    )
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    name = f"<b>{escape(report.source)}</b>" if flagged else escape(report.source)
    return f"<tr><td>{name}</td><td>{escape(report.instruction)}</td>{cells}</tr>"


def _rate(rate: float | None) -> str:
    return f"{rate:.1f}" if rate is not None else "-"


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
