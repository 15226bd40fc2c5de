"""What was measured over held-out episodes, as rows of text: for the terminal, the page and the model card."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .counted import POLICY, StopDelays
from .figures import CONSTANT, COPY_LAST, Figure
from .measure import ANGULAR_Z
from .offline import Offline
from .statistics import interval

Rows = list[tuple[str, ...]]

FIGURES = ("", "policy (95 % interval)", "best constant", "copy-last", "skill (95 % interval)")
DELAYS = ("", "policy", "copy-last")
WORDS = (
    "words",
    "answers in",
    "change by (95 % interval)",
    "where pictures change them by",
    "error",
    "under their own words",
    "turn to the side named",
)
NONE = "-"


def figure_rows(offline: Offline) -> Rows:
    """One row a figure, for the headings FIGURES; skill is against the better baseline."""
    counts = offline.counts
    rows: Rows = []
    for figure in offline.figures:
        skill = figure.skill(counts)
        rows.append(
            (
                label(figure),
                number(figure, figure.policy.value) + within(figure.interval(counts), partial(bare, figure)),
                number(figure, figure.baselines[CONSTANT].value),
                number(figure, figure.baselines[COPY_LAST].value),
                NONE if skill is None else f"{skill[0]:.2f}" + within(skill[1], "{:.2f}".format),
            )
        )
    return rows


def delay_rows(offline: Offline) -> Rows:
    """How late `stop` is said, for the headings DELAYS; none for a policy that does not say."""
    if offline.delays is None:
        return []
    both = [offline.delays[POLICY], offline.delays[COPY_LAST]]
    return [
        ("median delay of stop", *(_median(delays) for delays in both)),
        ("said before the task was done", *(_count(sum(s < 0.0 for s in delays.seconds), delays) for delays in both)),
        ("never said", *(_count(delays.missed, delays) for delays in both)),
    ]


def sensitivity_rows(offline: Offline) -> Rows:
    """One row for each kind of other words and each action, for the headings WORDS."""
    counts = offline.counts
    rows: Rows = []
    for kind, found in offline.sensitivity.items():
        if found is None:
            continue
        for name, unit in offline.actions.items():
            changed, others = found.changed[name], (found.spread[name], found.error[name], found.own_error[name])
            side = NONE
            if name == ANGULAR_Z and found.to_side is not None:
                side = f"{100 * (found.to_side.value or 0.0):.0f} % of frames, by chance 50 %"
            rows.append(
                (
                    f"{kind} ({found.episodes} of {len(offline.sources)})",
                    f"{name} ({unit})",
                    f"{changed.value:.3f}" + within(interval(changed.resampled(counts)), "{:.3f}".format),
                    *(NONE if ratio.value is None else f"{ratio.value:.3f}" for ratio in others),
                    side,
                )
            )
    return rows


def label(figure: Figure) -> str:
    """A figure's name with its unit."""
    return f"{figure.name} ({figure.unit})" if figure.unit else figure.name


def number(figure: Figure, value: float | None) -> str:
    """A figure's value, in its unit or in per cent."""
    if value is None:
        return NONE
    return bare(figure, value) if figure.unit else f"{bare(figure, value)} %"


def bare(figure: Figure, value: float) -> str:
    """The number alone."""
    return f"{value:.3f}" if figure.unit else f"{100 * value:.0f}"


def within(ends: tuple[float, float] | None, text: Callable[[float], str]) -> str:
    """An interval to stand after a number; empty if there is none."""
    return "" if ends is None else f" ({text(ends[0])} to {text(ends[1])})"


def _median(delays: StopDelays) -> str:
    return f"{np.median(delays.seconds):+.2f} s" if delays.seconds else NONE


def _count(count: int, delays: StopDelays) -> str:
    return f"{count} of {len(delays.seconds) + delays.missed}"
