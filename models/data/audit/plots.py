"""The page's plots, each as a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..episode import Episode
from .motion import held
from .run import Audit

INK, FILL, ACCENT = "#22272e", "#2f7f93", "#c2571a"
WIDE, NARROW, TALL = 8.0, 3.9, 2.9  # inches
SENTENCES = 24  # that are shown by name
LETTERS = 44  # of a sentence
CELLS = 41  # of the histogram along each axis


def action_histogram(episodes: Sequence[Episode], audit: Audit) -> bytes | None:
    """How long each pair of forward and turning velocity was commanded; None for actions without these two."""
    names = ("linear_x", "angular_z")
    if any(name not in audit.overall.limits for name in names):
        return None
    edges = [_edges(*audit.overall.limits[name]) for name in names]
    seconds = np.zeros((CELLS, CELLS))
    for episode in episodes:
        if set(names) <= set(episode.actions.names):
            v, w = episode.actions.columns(names).T.astype(np.float64)
            seconds += np.histogram2d(v, w, bins=edges, weights=held(episode))[0]
    figure, axes = _figure(NARROW, TALL)
    shown = np.ma.masked_less_equal(seconds, 0.0)
    mesh = axes.pcolormesh(edges[1], edges[0], shown, cmap="viridis", norm=LogNorm() if shown.count() else None)
    if shown.count():
        figure.colorbar(mesh, ax=axes, label="s")
    axes.invert_xaxis()  # left turns to the left
    axes.set(title="commands", xlabel="angular_z (rad/s), left is left", ylabel="linear_x (m/s)")
    return _png(figure)


def lengths(audit: Audit) -> bytes:
    """Lengths of the episodes, and how long they stand at their end."""
    figure, axes = _figure(NARROW, TALL)
    seconds = [report.seconds for report in audit.episodes]
    stands = [report.motion.stands_at_end_s for report in audit.episodes]
    edges = np.linspace(0.0, max(seconds), 31).tolist()
    axes.hist(seconds, edges, color=FILL, label="length")
    axes.hist(stands, edges, color=ACCENT, histtype="step", linewidth=1.5, label="standing at the end")
    axes.legend(frameon=False, fontsize=8)
    axes.set(title="episodes", xlabel="s", ylabel="episodes")
    return _png(figure)


def rates(audit: Audit) -> bytes:
    """Rates and longest gaps of all streams, one dot an episode."""
    streams = {
        f"camera {name}": [report.cameras[name].timing for report in audit.episodes if name in report.cameras]
        for name in audit.overall.camera_hz
    }
    streams["commands"] = [report.commands for report in audit.episodes]
    streams["odometry"] = [report.odometry for report in audit.episodes if report.odometry is not None]
    figure = Figure(figsize=(WIDE, 1.2 + 0.45 * len(streams)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rng = np.random.default_rng(0)  # scatters the dots, so that equal ones are seen
    for row, timings in enumerate(streams.values()):
        for axes, values in (
            (left, [timing.rate_hz for timing in timings if timing.rate_hz is not None]),
            (right, [timing.longest_gap_s for timing in timings if timing.longest_gap_s is not None]),
        ):
            axes.plot(values, row + rng.uniform(-0.25, 0.25, len(values)), ".", color=FILL, markersize=3, alpha=0.5)
    left.set_yticks(range(len(streams)), list(streams))
    left.set_ylim(len(streams) - 0.5, -0.5)
    left.set_xlim(left=0.0)
    right.set_xlim(left=0.0)
    left.set(title="rate", xlabel="Hz")
    right.set(title="longest gap", xlabel="s")
    for axes in (left, right):
        _clean(axes)
    return _png(figure)


def delays(audit: Audit) -> bytes | None:
    """Dead times of the episodes that tell theirs; None if none does."""
    found = [report.delay for report in audit.episodes if report.delay is not None]
    if not found:
        return None
    figure, axes = _figure(NARROW, TALL)
    milliseconds = [delay.dead_time_s * 1e3 for delay in found]
    weights = [delay.confidence for delay in found]
    axes.hist(milliseconds, list(range(-300, 1001, 20)), weights=weights, color=FILL)
    styles = ("-", "--", ":")
    for number, delay in enumerate(audit.overall.delays.values()):
        style = styles[number % len(styles)]
        label = f"{delay.channel}, all: {delay.dead_time_s * 1e3:.0f} ms"
        axes.axvline(delay.dead_time_s * 1e3, color=ACCENT, linestyle=style, linewidth=1.5, label=label)
    if audit.overall.delays:
        axes.legend(frameon=False, fontsize=8)
    axes.set_xlim(min(-50.0, min(milliseconds) - 50), max(400.0, max(milliseconds) + 50))
    axes.set(title="command to motion", xlabel="dead time (ms)", ylabel="episodes x confidence")
    return _png(figure)


def turning(audit: Audit) -> bytes:
    """Net turn of each episode."""
    figure, axes = _figure(NARROW, TALL)
    turned = np.degrees([report.motion.turned_rad for report in audit.episodes])
    reach = float(np.clip(np.abs(turned).max(), 90.0, 720.0))
    axes.hist(np.clip(turned, -reach, reach), np.linspace(-reach, reach, 41).tolist(), color=FILL)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.invert_xaxis()
    axes.set(title="net turn, as commanded", xlabel="degrees, left is left", ylabel="episodes")
    return _png(figure)


def sentences(audit: Audit) -> bytes:
    """How often each of the most frequent sentences is said."""
    counts = list(audit.overall.wording.counts.items())
    shown = counts[:SENTENCES]
    figure = Figure(figsize=(WIDE, 1.0 + 0.2 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(shown)), [count for _, count in shown], color=FILL, height=0.7)
    axes.set_yticks(range(len(shown)), [_short(text) for text, _ in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    more = f", the most frequent {len(shown)} of {len(counts)}" if len(counts) > len(shown) else ""
    axes.set(title=f"sentences{more}", xlabel="episodes")
    _clean(axes)
    return _png(figure)


def _short(text: str) -> str:
    # A dollar sign would begin a formula.
    plain = (text if len(text) <= LETTERS else text[: LETTERS - 3] + "...").replace("$", r"\$")
    return plain or "(empty)"


def _edges(low: float, high: float) -> NDArray[np.float64]:
    margin = 0.05 * (high - low) or 0.1
    return np.linspace(min(low, 0.0) - margin, max(high, 0.0) + margin, CELLS + 1)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _clean(axes)
    return figure, axes


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(10)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
