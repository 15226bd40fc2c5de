"""What was measured over held-out episodes, for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .figures import Figure
from .offline import Offline
from .sensitivity import Sensitivity


def offline_document(offline: Offline) -> dict[str, Any]:
    """Everything but the points of the scatter plot; None where something is not known."""
    return {
        "episodes": list(offline.sources),
        "frames": offline.frames,
        "dt_s": offline.dt,
        "actions": offline.actions,
        "constant_baseline": "the mean or the median command of these episodes, whichever does better by the figure",
        "copy_last_baseline": "the command one step before the frame, all through the chunk",
        "figures": [_figure(figure, offline) for figure in offline.figures],
        "mae_by_step": offline.horizon,
        "stop_frames_by_done_and_said": _each(offline.stop, lambda table: table.tolist()),
        "stop_delays": _each(offline.delays, lambda d: {"seconds": list(d.seconds), "missed": d.missed}),
        "other_words": {
            kind: None if found is None else _sensitivity(found) for kind, found in offline.sensitivity.items()
        },
        "empty_sentence": offline.empty,
        "seed": offline.seed,
    }


def _figure(figure: Figure, offline: Offline) -> dict[str, Any]:
    counts = offline.counts
    skill = figure.skill(counts)
    return {
        "name": figure.name,
        "unit": figure.unit,
        "less_is_better": figure.is_error,
        "policy": figure.policy.value,
        "policy_95_bootstrap": figure.interval(counts),
        "baselines": {name: ratio.value for name, ratio in figure.baselines.items()},
        "best_baseline": figure.best_baseline,
        "skill": None if skill is None else skill[0],
        "skill_95_bootstrap": None if skill is None else skill[1],
    }


def _sensitivity(found: Sensitivity) -> dict[str, Any]:
    by_action = {
        name: {
            "change": found.changed[name].value,
            "change_between_pictures": found.spread[name].value,
            "error": found.error[name].value,
            "error_under_own_words": found.own_error[name].value,
        }
        for name in found.changed
    }
    return {
        "episodes": found.episodes,
        "example": {"own": found.example[0], "said": found.example[1]},
        "actions": by_action,
        "turns_to_the_side_named": None if found.to_side is None else found.to_side.value,
    }


def _each(values: Mapping[str, Any] | None, change: Any) -> dict[str, Any] | None:
    return None if values is None else {name: change(value) for name, value in values.items()}
