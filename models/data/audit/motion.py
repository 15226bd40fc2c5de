"""What the commands of an episode do: standing, turning, driving at the limit, and standing at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..episode import Episode, Signal
from .flags import Flag, Severity
from .statistics import chance, median, share

Limits = Mapping[str, tuple[float, float]]  # lowest and highest value of an action, by its name

STILL_LINEAR, STILL_ANGULAR = 0.01, 0.02  # m/s, rad/s: less is standing
AT_LIMIT = 0.99  # of a limit
STATIONARY = 0.5  # of the time
SATURATED = 0.8  # of the moving time
ONE_SIDED, ONE_SIDED_CHANCE, TURNS = 0.75, 1e-3, 10  # of the turning time; by chance; least number of episodes
ENDS_STANDING = 0.1  # of the episodes
STAND = 0.3  # s: shorter is one or two frames


@dataclass(frozen=True)
class Motion:
    """Of one episode's commands, weighted by the time that they were in force.

    Attributes:
        moving_s, stationary_s: seconds.
        saturated_s: seconds with a command at a limit, by its name.
        any_saturated_s: seconds with any command at a limit.
        left_s, right_s: seconds of turning.
        turned_rad: net, left positive.
        stands_at_end_s: seconds of zero commands up to the end.
    """

    moving_s: float
    stationary_s: float
    saturated_s: dict[str, float]
    any_saturated_s: float
    left_s: float
    right_s: float
    turned_rad: float
    stands_at_end_s: float


def still_below(name: str) -> float:
    """The value of an action under which nothing moves."""
    return STILL_ANGULAR if name.startswith("angular") else STILL_LINEAR


def moving(signal: Signal) -> NDArray[np.bool_]:
    """Which rows ask for motion; bool (n,)."""
    return np.asarray((np.abs(signal.values) > [still_below(name) for name in signal.names]).any(axis=1))


def held(episode: Episode) -> NDArray[np.float64]:
    """Seconds that each command was in force; float64 (n,)."""
    return np.maximum(np.diff(np.append(episode.actions.stamps, episode.end)), 0.0)


def seen_limits(episodes: Sequence[Episode]) -> dict[str, tuple[float, float]]:
    """The extremes of each action over a set."""
    limits: dict[str, tuple[float, float]] = {}
    for episode in episodes:
        for name in episode.actions.names:
            column = episode.actions.columns([name])
            if len(column):
                low, high = limits.get(name, (np.inf, -np.inf))
                limits[name] = (min(low, float(column.min())), max(high, float(column.max())))
    return limits


def measure_motion(episode: Episode, limits: Limits) -> Motion:
    """Sum up an episode's commands."""
    actions, seconds = episode.actions, held(episode)
    moves = moving(actions)
    at_limit = {
        name: moves & _at_limit(actions.columns([name])[:, 0], *limits[name], still_below(name))
        for name in actions.names
        if name in limits
    }
    any_limit = np.any(list(at_limit.values()), axis=0) if at_limit else np.zeros(len(moves), np.bool_)
    turn = actions.columns(["angular_z"])[:, 0] if "angular_z" in actions.names else np.zeros(len(moves), np.float32)
    return Motion(
        moving_s=float(seconds[moves].sum()),
        stationary_s=float(seconds[~moves].sum()),
        saturated_s={name: float(seconds[rows].sum()) for name, rows in at_limit.items()},
        any_saturated_s=float(seconds[any_limit].sum()),
        left_s=float(seconds[turn > STILL_ANGULAR].sum()),
        right_s=float(seconds[turn < -STILL_ANGULAR].sum()),
        turned_rad=float(np.dot(turn, seconds)),
        stands_at_end_s=episode.end - episode.done_since,
    )


def _at_limit(values: NDArray[np.float32], low: float, high: float, still: float) -> NDArray[np.bool_]:
    """A limit of zero (no reversing) is not one that a moving robot is pressed against."""
    above = (values >= AT_LIMIT * high) if high > still else np.zeros(len(values), np.bool_)
    below = (values <= AT_LIMIT * low) if low < -still else np.zeros(len(values), np.bool_)
    return np.asarray(above | below)


@dataclass(frozen=True)
class MotionSummary:
    """Of all episodes.

    Attributes:
        stationary_share: of the time.
        saturated_share: of the moving time, any command at a limit.
        saturated_shares: the same by the action's name.
        left_share: of the turning time; None without any turning.
        mostly_left, mostly_right: episodes that turn longer to this side.
        ends_standing: episodes.
        stand_median_s: of those; None without any.
    """

    stationary_share: float
    saturated_share: float
    saturated_shares: dict[str, float]
    left_share: float | None
    mostly_left: int
    mostly_right: int
    ends_standing: int
    stand_median_s: float | None


def summarize_motion(motions: Sequence[Motion]) -> MotionSummary:
    """Sum up a set."""
    moving_s = sum(motion.moving_s for motion in motions)
    left, right = sum(motion.left_s for motion in motions), sum(motion.right_s for motion in motions)
    names = {name for motion in motions for name in motion.saturated_s}
    stands = [motion.stands_at_end_s for motion in motions if motion.stands_at_end_s > 0]
    return MotionSummary(
        stationary_share=share(sum(m.stationary_s for m in motions), sum(m.stationary_s + m.moving_s for m in motions)),
        saturated_share=share(sum(motion.any_saturated_s for motion in motions), moving_s),
        saturated_shares={
            name: share(sum(motion.saturated_s.get(name, 0.0) for motion in motions), moving_s)
            for name in sorted(names)
        },
        left_share=left / (left + right) if left + right > 0 else None,
        mostly_left=sum(motion.left_s > motion.right_s for motion in motions),
        mostly_right=sum(motion.right_s > motion.left_s for motion in motions),
        ends_standing=len(stands),
        stand_median_s=median(stands),
    )


def motion_flags(motions: dict[str, Motion], summary: MotionSummary, limits_given: bool) -> list[Flag]:
    """Complaints about what the set commands; `motions` by source."""
    flags: list[Flag] = []
    count = len(motions)
    if summary.stationary_share > STATIONARY:
        flags.append(
            Flag(
                "standing",
                Severity.WARNING,
                (),
                f"{summary.stationary_share:.0%} of the time the commands are zero",
                "Cut the waiting at begin and end of the episodes, or the policy learns to stand.",
            )
        )
    if summary.saturated_share > SATURATED:
        limit = "limits given" if limits_given else "greatest commands seen"
        flags.append(
            Flag(
                "saturation",
                Severity.WARNING,
                (),
                f"{summary.saturated_share:.0%} of the moving time a command is at the {limit}",
                "The set is of full commands only (keys, or a limit set too low): record with a joystick or a "
                "controller, or use a policy with action bins.",
            )
        )
    flags += _one_sided(summary)
    stand, ending = summary.stand_median_s, share(summary.ends_standing, count)
    if ending < ENDS_STANDING:
        flags.append(
            Flag(
                "stop examples",
                Severity.WARNING,
                (),
                f"{summary.ends_standing} of {count} episodes end with zero commands",
                "Record on for a second of zero commands after the task is done, or the policy never learns to stop.",
            )
        )
    elif stand is not None and stand < STAND:
        flags.append(
            Flag(
                "stop examples",
                Severity.WARNING,
                (),
                f"episodes that end standing do so for {stand:.2f} s (median)",
                "Record on for a second of zero commands after the task is done.",
            )
        )
    return flags


def _one_sided(summary: MotionSummary) -> list[Flag]:
    if summary.left_share is None:
        return []
    side, part = ("left", summary.left_share) if summary.left_share >= 0.5 else ("right", 1 - summary.left_share)
    more, turning = max(summary.mostly_left, summary.mostly_right), summary.mostly_left + summary.mostly_right
    if turning < TURNS or part <= ONE_SIDED or chance(more, turning) > ONE_SIDED_CHANCE:
        return []
    return [
        Flag(
            "left and right",
            Severity.WARNING,
            (),
            f"{part:.0%} of the turning time is to the {side}; {more} of {turning} turning episodes turn there longer",
            "Record as much to the other side, or mirror (with angular_z, linear_y and the words left and right).",
        )
    ]
