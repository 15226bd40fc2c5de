"""How long a base takes from a command to the motion, from commanded and measured velocity.

The command is passed through what bases do to it, a first-order lag or a limit of acceleration, and shifted by d; of
all combinations the one is taken whose result correlates best with the measured velocity. So d is the dead time alone,
from the command's stamp to the first effect in the odometry (its own delay included). The peak of the plain
cross-correlation lies later than d, by about as much as the base is sluggish; it is given beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..episode import Episode, Signal
from .flags import Flag, Severity
from .motion import still_below

STEP = 0.01  # s
LAGS = np.round(np.arange(-0.3, 1.0 + STEP / 2, STEP), 2)  # s; negative ones would be stamps that are wrong
LINEAR_LIMITS, ANGULAR_LIMITS = (0.5, 1.0, 2.0), (1.5, 3.0, 6.0)  # m/s^2, rad/s^2
FOLLOWS = 0.6  # least correlation that says anything about the delay
SLACK = 1.1, 0.002  # as good as the best: unexplained share of the motion up to this factor, and that on top
VAGUE = 0.5  # s: a wider range of dead times is no answer
SHORT = 1.0  # s of odometry

LONG_DEAD_TIME = 0.3  # s
DEVIATES = 0.1  # s from the set's, beyond what an episode leaves open
DEVIATING = 0.01  # of the episodes: a push from outside looks like it in fewer


@dataclass(frozen=True)
class Lag:
    """First-order: after `time_constant_s` 63 % of a step are done; 0 follows at once."""

    time_constant_s: float

    def __str__(self) -> str:
        return f"a lag of {self.time_constant_s * 1e3:.0f} ms"


@dataclass(frozen=True)
class Ramp:
    """Velocity changes by no more than `acceleration` (m/s^2 or rad/s^2)."""

    acceleration: float

    def __str__(self) -> str:
        return f"a ramp of {self.acceleration:g} per s^2"


LAGGING = tuple(Lag(constant) for constant in (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45))  # no lag is the first


@dataclass(frozen=True)
class Delay:
    """The delay of one channel.

    Attributes:
        channel: "angular_z".
        dead_time_s: from the command to the first motion.
        low_s, high_s: dead times in between explain the motion about as well.
        response: how the base follows after it.
        peak_s: where plain cross-correlation peaks: dead time and response together.
        confidence: share of the measured velocity's variance that is explained, 0 to 1.
        gain: measured / commanded velocity.
    """

    channel: str
    dead_time_s: float
    low_s: float
    high_s: float
    response: Lag | Ramp
    peak_s: float
    confidence: float
    gain: float


@dataclass(frozen=True)
class Products:
    """Centred products of commanded (u) and measured (y) velocity, summed over samples; they add over episodes.

    Attributes:
        uu, uy: float64 (responses, lags).
        yy: of the measured velocity alone.
        samples: how many.
    """

    uu: NDArray[np.float64]
    uy: NDArray[np.float64]
    yy: float
    samples: int

    def __add__(self, other: Products) -> Products:
        return Products(self.uu + other.uu, self.uy + other.uy, self.yy + other.yy, self.samples + other.samples)


def responses(channel: str) -> tuple[Lag | Ramp, ...]:
    """What a base may do to a command of this channel; the first is nothing."""
    limits = ANGULAR_LIMITS if channel.startswith("angular") else LINEAR_LIMITS
    return (*LAGGING, *(Ramp(limit) for limit in limits))


def lag_products(episode: Episode) -> dict[str, Products]:
    """The products of each channel that is both commanded and measured, by its name."""
    odometry = episode.odometry
    if odometry is None or len(odometry) < 2 or len(episode.actions) == 0:
        return {}
    if odometry.stamps[-1] - odometry.stamps[0] < SHORT:
        return {}
    names = [name for name in episode.actions.names if name in odometry.names]
    return {name: _products(episode.actions, odometry, name) for name in names}


def estimate_delay(channel: str, products: Products) -> Delay | None:
    """The delay that explains the measured motion best; None where the motion does not tell it."""
    if products.samples == 0 or products.yy / products.samples < (2 * still_below(channel)) ** 2:
        return None
    correlation = _correlation(products)
    row, column = np.unravel_index(np.argmax(correlation), correlation.shape)
    best = float(correlation[row, column])
    if best < FOLLOWS or column in (0, len(LAGS) - 1):
        return None
    factor, more = SLACK
    as_good = (correlation > 0) & (1 - correlation**2 <= factor * (1 - best**2) + more)
    enough = np.flatnonzero(as_good.any(axis=0))
    low, high = float(LAGS[enough[0]]), float(LAGS[enough[-1]])
    if high - low > VAGUE:
        return None
    return Delay(
        channel=channel,
        dead_time_s=float(LAGS[column]),
        low_s=low,
        high_s=high,
        response=responses(channel)[row],
        peak_s=float(LAGS[np.argmax(correlation[0])]),
        confidence=best**2,
        gain=float(products.uy[row, column] / products.uu[row, column]),
    )


def surest(delays: Sequence[Delay | None]) -> Delay | None:
    """The one of the greatest confidence, if there is any."""
    return max((delay for delay in delays if delay is not None), key=lambda delay: delay.confidence, default=None)


def best_correlation(products: Products) -> tuple[float, float]:
    """The greatest and the least correlation over all lags."""
    correlation = _correlation(products)
    return float(correlation.max()), float(correlation.min())


def _products(actions: Signal, odometry: Signal, name: str) -> Products:
    begin, end = float(odometry.stamps[0]), float(odometry.stamps[-1])
    times = np.arange(begin, end, STEP)
    measured = np.interp(times, odometry.stamps, odometry.columns([name])[:, 0])
    # Commands are needed from the longest lag before the first measurement to the most negative one after the last.
    before, after = round(LAGS[-1] / STEP), round(-LAGS[0] / STEP)
    wide = begin + STEP * np.arange(-before, len(times) + after)
    values = actions.columns([name])[:, 0].astype(np.float64)
    in_force = np.searchsorted(actions.stamps, wide + 1e-6, side="right") - 1
    # A base that stands when the episode begins had been told to; another had been told what it is told now.
    earlier = 0.0 if abs(measured[0]) < 2 * still_below(name) else values[0]
    commanded = np.where(in_force < 0, earlier, values[np.maximum(in_force, 0)])
    measured = measured - measured.mean()
    answers = responses(name)
    uu, uy = np.empty((2, len(answers), len(LAGS)))
    for row, response in enumerate(answers):
        if isinstance(response, Lag):
            lagged = _first_order(commanded, response.time_constant_s)
        else:
            lagged = _ramped(commanded, response.acceleration)
        sums = np.concatenate([[0.0], np.cumsum(lagged)])
        squares = np.concatenate([[0.0], np.cumsum(lagged**2)])
        total = sums[len(times) :] - sums[: -len(times)]
        square = squares[len(times) :] - squares[: -len(times)]
        # Window 0 is the command longest ago, so the lags run backwards.
        uu[row] = np.maximum(square - total**2 / len(times), 0.0)[::-1]
        uy[row] = np.correlate(lagged, measured, mode="valid")[::-1]
    return Products(uu, uy, float(measured @ measured), len(times))


def _first_order(values: NDArray[np.float64], constant: float) -> NDArray[np.float64]:
    """What a first-order lag makes of a signal sampled every STEP; it begins at rest at the first value."""
    if constant == 0.0:
        return values
    length = round(6 * constant / STEP)
    weights = np.exp(-np.arange(length) * STEP / constant)
    padded = np.concatenate([np.full(length - 1, values[0]), values])
    return np.convolve(padded, weights / weights.sum(), mode="valid")


def _ramped(values: NDArray[np.float64], acceleration: float) -> NDArray[np.float64]:
    """What a limit of acceleration makes of a signal sampled every STEP."""
    step, value = acceleration * STEP, float(values[0])
    ramped = []
    for wanted in values.tolist():
        change = wanted - value
        value += step if change > step else -step if change < -step else change
        ramped.append(value)
    return np.array(ramped)


def _correlation(products: Products) -> NDArray[np.float64]:
    scale = np.sqrt(products.uu * products.yy)
    return np.divide(products.uy, scale, out=np.zeros_like(scale), where=scale > 1e-9)


def delay_flags(
    pooled: dict[str, Products], overall: dict[str, Delay], episodes: dict[str, Delay | None]
) -> list[Flag]:
    """Complaints about how the base follows.

    Args:
        pooled: products of the whole set by channel.
        overall: the set's delays by channel.
        episodes: by source, each episode's surest.
    """
    flags: list[Flag] = []

    def complain(severity: Severity, sources: list[str], found: str, remedy: str) -> None:
        flags.append(Flag("command to motion", severity, tuple(sources), found, remedy))

    for channel, products in pooled.items():
        moves = products.samples > 0 and products.yy / products.samples > (2 * still_below(channel)) ** 2
        told = products.uu.max() / max(products.samples, 1) > (2 * still_below(channel)) ** 2
        greatest, least = best_correlation(products)
        if told and moves and -least > FOLLOWS and -least > greatest + 0.2:
            complain(
                Severity.ERROR,
                [],
                f"measured {channel} goes against the commanded one (correlation {least:.2f})",
                "One of the two has its sign wrong: REP-103 has x forward, y left and counter-clockwise positive.",
            )
        elif told and greatest < FOLLOWS:
            complain(
                Severity.WARNING,
                [],
                f"measured {channel} does not follow the commanded one (best correlation {greatest:.2f})",
                "Look whether odometry and commands are of the same robot, and whether something else drives it.",
            )
    for channel, delay in overall.items():
        if delay.high_s < 0:
            complain(
                Severity.ERROR,
                [],
                f"{channel} is measured {-delay.dead_time_s * 1e3:.0f} ms before it is commanded",
                "The stamps of commands or odometry are wrong: synchronise the clocks.",
            )
        elif delay.dead_time_s > LONG_DEAD_TIME:
            complain(
                Severity.WARNING,
                [],
                f"{channel} follows its command {delay.dead_time_s * 1e3:.0f} ms late (and then with {delay.response})",
                "Look for a slow link to the base; count it into the latency that the policy is evaluated with.",
            )
    odd = [
        source
        for source, found in episodes.items()
        if found is not None and found.channel in overall and _deviates(found, overall[found.channel])
    ]
    if len(odd) > DEVIATING * len(episodes):
        complain(
            Severity.WARNING,
            odd,
            f"{len(odd)} episodes have a dead time more than {DEVIATES * 1e3:.0f} ms off the set's",
            "Look whether they were recorded over another link or on another robot.",
        )
    return flags


def _deviates(found: Delay, usual: Delay) -> bool:
    sure = found.confidence > 0.8 and found.high_s - found.low_s < 2 * DEVIATES
    return sure and (found.low_s > usual.dead_time_s + DEVIATES or found.high_s < usual.dead_time_s - DEVIATES)
