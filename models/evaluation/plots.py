"""Plots of a policy over held-out episodes, each as a PNG."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .counted import POLICY
from .figures import CONSTANT, COPY_LAST
from .offline import Offline

INK, FILL, ACCENT, PALE = "#22272e", "#2f7f93", "#c2571a", "#b9b6ae"
WIDTH, HEIGHT = 3.9, 3.0  # inches
_LINES = {POLICY: (FILL, "o-"), CONSTANT: (PALE, "s--"), COPY_LAST: (ACCENT, "^--")}


def error_by_horizon(offline: Offline) -> bytes:
    """How errors grow along the chunk, beside the baselines."""
    figure, panels = panes(len(offline.actions))
    for axes, (name, unit) in zip(panels, offline.actions.items(), strict=True):
        for who, (colour, style) in _LINES.items():
            values = [np.nan if value is None else value for value in offline.horizon[name][who]]
            axes.plot(np.arange(len(values)) * offline.dt, values, style, color=colour, label=who, markersize=3.5)
        axes.set_ylim(bottom=0.0)
        axes.set(title=f"error of {name}", xlabel="s ahead of the frame", ylabel=f"mean absolute error ({unit})")
        axes.legend(frameon=False, fontsize=8)
    return png(figure)


def commanded_against_recorded(offline: Offline) -> bytes:
    """The first row of every chunk against what was commanded then."""
    figure, panels = panes(len(offline.actions))
    for axes, (name, unit) in zip(panels, offline.actions.items(), strict=True):
        recorded, commanded = offline.scatter[name].T
        low, high = float(min(recorded.min(), commanded.min())), float(max(recorded.max(), commanded.max()))
        axes.plot([low, high], [low, high], color=PALE, linewidth=1.0, zorder=1)
        axes.plot(recorded, commanded, ".", color=FILL, markersize=3, alpha=0.35, zorder=2)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(title=name, xlabel=f"recorded ({unit})", ylabel=f"policy ({unit})")
    return png(figure)


def stop_confusion(offline: Offline) -> bytes | None:
    """Frames by whether the task was done and whether that was said; None for a policy that does not say."""
    if offline.stop is None:
        return None
    figure, panels = panes(len(offline.stop))
    for axes, (who, table) in zip(panels, offline.stop.items(), strict=True):
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
        axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.3)
        for row in range(2):
            for column in range(2):
                text = f"{table[row, column]:.0f}\n{100 * shares[row, column]:.0f} %"
                colour = "white" if shares[row, column] > 0.6 else INK
                axes.text(column, row, text, ha="center", va="center", color=colour)
        axes.set_xticks([0, 1], ["goes on", "stop"])
        axes.set_yticks([0, 1], ["not done", "done"])
        axes.set(title=f"stop, {who}", xlabel="said", ylabel="recorded")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return png(figure)


def change_by_words(offline: Offline) -> bytes | None:
    """How much the answers change with the words, as a share of what the pictures change; None without other words."""
    kinds = {kind: found for kind, found in offline.sensitivity.items() if found is not None}
    if not kinds:
        return None
    figure, panels = panes(1, width=2 * WIDTH)
    axes = panels[0]
    thick = 0.8 / len(offline.actions)
    colours = (FILL, ACCENT, INK, PALE)
    for row, name in enumerate(offline.actions):
        colour = colours[row % len(colours)]
        shares = []
        for found in kinds.values():
            changed, spread = found.changed[name].value, found.spread[name].value
            shares.append(changed / spread if changed is not None and spread else np.nan)
        axes.barh(np.arange(len(kinds)) + row * thick, shares, thick, color=colour, label=name)
    axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=":")
    axes.set_yticks(np.arange(len(kinds)) + thick * (len(offline.actions) - 1) / 2, list(kinds))
    axes.invert_yaxis()
    axes.set(
        title="change of the answers to the same frames under other words",
        xlabel="share of the change between two frames under the same words",
    )
    axes.legend(frameon=False, fontsize=8)
    return png(figure)


def panes(count: int, width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes side by side."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    panels = list(np.atleast_1d(figure.subplots(1, count)).flat)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def png(figure: Figure) -> bytes:
    """The figure as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
