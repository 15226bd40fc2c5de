"""One pass over a set of episodes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from ...errors import DataError
from ...sentence import normalize_instruction
from ..episode import Episode
from ..left_out import LostEpisode
from ..recording import Recording
from .clock import Arrivals, Clock, clock_flags, measure_clock, sample_arrivals
from .colours import ColourOrder, colour_flags, judge_order
from .delay import Delay, Products, delay_flags, estimate_delay, lag_products, surest
from .duplicates import Duplicates, duplicate_flags, find_duplicates
from .flags import Flag, Severity, by_severity
from .listening import Listening, listening_flags, summarize_listening
from .motion import Limits, Motion, MotionSummary, measure_motion, motion_flags, moving, seen_limits, summarize_motion
from .pictures import Frames, Sketch, left_out_flags, look, picture_flags
from .statistics import median
from .timing import Timing, measure_timing, timing_flags
from .units import unit_flags
from .wording import Wording, summarize_wording, wording_flags

EXAMPLES = 6  # episodes whose frames are kept to be shown


@dataclass(frozen=True)
class CameraReport:
    """One camera in one episode.

    Attributes:
        timing: Rate and gaps.
        clock: Its stamps beside the recorder's clock; None where receive times are not known.
        frames: What sampled frames look like.
        left_out: Number of frames that cannot be used, by the reason; they count nowhere else.
    """

    timing: Timing
    clock: Clock | None
    frames: Frames
    left_out: dict[str, int]


@dataclass(frozen=True)
class EpisodeReport:
    """What was measured in one episode; `delay` is of its surest channel."""

    source: str
    recording: str
    instruction: str
    repeats: int
    seconds: float
    cameras: dict[str, CameraReport]
    commands: Timing
    odometry: Timing | None
    delay: Delay | None
    motion: Motion


@dataclass(frozen=True)
class Overall:
    """What was measured over the set.

    Attributes:
        episodes, recordings: how many.
        seconds: in all.
        camera_hz, command_hz, odometry_hz: medians over the episodes; None where unknown.
        clocks: by camera and recording.
        delays: by channel, from all episodes together; only those that the motion tells.
        limits: of the actions, as given or seen.
        motion, wording, duplicates: see there.
        colours: by camera.
        lost: Episodes that were left out, because a camera has no frames that can be used.
        listening: What the recordings hold beside the episodes.
    """

    episodes: int
    recordings: int
    seconds: float
    camera_hz: dict[str, float | None]
    command_hz: float | None
    odometry_hz: float | None
    clocks: dict[str, dict[str, Clock]]
    delays: dict[str, Delay]
    limits: dict[str, tuple[float, float]]
    limits_given: bool
    motion: MotionSummary
    wording: Wording
    duplicates: Duplicates
    colours: dict[str, ColourOrder]
    lost: tuple[LostEpisode, ...]
    listening: Listening


@dataclass(frozen=True)
class Example:
    """Frames of one episode: by camera the first, the middle and the last, RGB uint8 (h, w, 3)."""

    source: str
    instruction: str
    frames: dict[str, list[NDArray[np.uint8]]]


@dataclass(frozen=True)
class Audit:
    """The whole report.

    Attributes:
        overall: over the set.
        episodes: in the order given.
        flags: complaints, errors first.
        examples: some episodes' frames, spread over the set.
    """

    overall: Overall
    episodes: tuple[EpisodeReport, ...]
    flags: tuple[Flag, ...]
    examples: tuple[Example, ...]


def audit(
    episodes: Sequence[Episode],
    limits: Limits | None = None,
    lost: Sequence[LostEpisode] = (),
    recordings: Sequence[Recording] = (),
) -> Audit:
    """Measure every episode and the set, and complain.

    Pictures are decoded a few at a time and not kept; besides the episodes themselves some kilobytes an episode are.

    Args:
        episodes: sources must differ.
        limits: lowest and highest value of each action by its name, m/s and rad/s; the extremes seen if not given.
        lost: Episodes that were left out when the source was listed.
        recordings: Recordings of the episodes, where they may hold more.

    Raises:
        DataError: no episode, two of the same source, or limits of an action that there is not.
    """
    _check(episodes, limits)
    bounds = dict(limits) if limits is not None else seen_limits(episodes)
    reports: list[EpisodeReport] = []
    sketches: defaultdict[str, dict[str, Sketch]] = defaultdict(dict)
    arrivals: defaultdict[str, defaultdict[str, list[Arrivals]]] = defaultdict(lambda: defaultdict(list))
    pooled: dict[str, Products] = {}
    examples: list[Example] = []
    shown = set(np.linspace(0, len(episodes) - 1, EXAMPLES).round().astype(int).tolist())
    for number, episode in enumerate(track(episodes, description="auditing")):
        cameras: dict[str, CameraReport] = {}
        example: dict[str, list[NDArray[np.uint8]]] = {}
        for name, pictures in episode.cameras.items():
            frames, sketch, example[name] = look(episode, name)
            arrived = sample_arrivals(pictures.stamps, pictures.received)
            if sketch is not None:
                sketches[name][episode.source] = sketch
            if arrived is not None:
                arrivals[name][episode.recording].append(arrived)
            timing = measure_timing(pictures.stamps, episode.end - episode.begin)
            clock, left_out = measure_clock([arrived]) if arrived is not None else None, episode.left_out.get(name, {})
            cameras[name] = CameraReport(timing, clock, frames, dict(left_out))
        products = lag_products(episode)
        for channel, product in products.items():
            pooled[channel] = pooled[channel] + product if channel in pooled else product
        reports.append(_report(episode, cameras, products, bounds))
        if number in shown:
            examples.append(Example(episode.source, episode.instruction, example))
    clocks = {
        camera: {recording: measure_clock(parts) for recording, parts in recordings.items()}
        for camera, recordings in arrivals.items()
    }
    delays = {channel: estimate_delay(channel, product) for channel, product in pooled.items()}
    overall = Overall(
        episodes=len(episodes),
        recordings=len({episode.recording for episode in episodes}),
        seconds=sum(report.seconds for report in reports),
        camera_hz={name: median(_rates(reports, name)) for name in _cameras(reports)},
        command_hz=median(report.commands.rate_hz for report in reports if report.commands.rate_hz is not None),
        odometry_hz=median(
            report.odometry.rate_hz
            for report in reports
            if report.odometry is not None and report.odometry.rate_hz is not None
        ),
        clocks=clocks,
        delays={channel: delay for channel, delay in delays.items() if delay is not None},
        limits=bounds,
        limits_given=limits is not None,
        motion=summarize_motion([report.motion for report in reports]),
        wording=summarize_wording(
            _sentences(reports),
            {report.source: report.motion for report in reports},
        ),
        duplicates=find_duplicates(episodes, bounds, sketches),
        colours={camera: judge_order(episodes, kept) for camera, kept in sketches.items()},
        lost=tuple(lost),
        listening=summarize_listening(recordings, {report.source: report.repeats for report in reports}),
    )
    spans = {
        camera: {recording: _span(parts) for recording, parts in recordings.items()}
        for camera, recordings in arrivals.items()
    }
    flags = _flags(episodes, reports, overall, pooled, spans)
    return Audit(overall, tuple(reports), tuple(by_severity(flags)), tuple(examples))


def _check(episodes: Sequence[Episode], limits: Limits | None) -> None:
    if not episodes:
        raise DataError("no episode to audit")
    counts = Counter(episode.source for episode in episodes)
    twice = [source for source, count in counts.items() if count > 1]
    if twice:
        raise DataError(f"{len(twice)} episodes have the source of another, such as {twice[0]!r}")
    names = {name for episode in episodes for name in episode.actions.names}
    unknown = sorted(set(limits or {}) - names)
    if unknown:
        raise DataError(f"limits for {', '.join(unknown)}, which is not among the actions {', '.join(sorted(names))}")


def _report(
    episode: Episode, cameras: dict[str, CameraReport], products: dict[str, Products], limits: Limits
) -> EpisodeReport:
    seconds = episode.end - episode.begin
    return EpisodeReport(
        source=episode.source,
        recording=episode.recording,
        instruction=episode.instruction,
        repeats=episode.repeats,
        seconds=seconds,
        cameras=cameras,
        commands=measure_timing(episode.actions.stamps, seconds, moving(episode.actions)),
        odometry=measure_timing(episode.odometry.stamps, seconds) if episode.odometry is not None else None,
        delay=surest([estimate_delay(channel, product) for channel, product in products.items()]),
        motion=measure_motion(episode, limits),
    )


def _flags(
    episodes: Sequence[Episode],
    reports: list[EpisodeReport],
    overall: Overall,
    pooled: dict[str, Products],
    spans: dict[str, dict[str, float]],
) -> list[Flag]:
    sentences = _sentences(reports)
    flags = left_out_flags(episodes, overall.lost)
    for camera in _cameras(reports):
        with_it = {report.source: report.cameras[camera] for report in reports if camera in report.cameras}
        flags += timing_flags(f"camera {camera}", {source: seen.timing for source, seen in with_it.items()}, True)
        rate = overall.camera_hz[camera]
        if camera in overall.clocks:
            flags += clock_flags(camera, overall.clocks[camera], spans[camera], 1 / rate if rate else None)
        flags += picture_flags(camera, {source: seen.frames for source, seen in with_it.items()})
        if camera in overall.colours:
            flags += colour_flags(camera, overall.colours[camera])
        without = tuple(report.source for report in reports if camera not in report.cameras)
        if without:
            found = f"{len(without)} episodes have no camera {camera}, which others have"
            flags.append(Flag("pictures", Severity.WARNING, without, found, "Train on the cameras that all have."))
    flags += timing_flags("commands", {report.source: report.commands for report in reports}, False)
    flags += delay_flags(pooled, overall.delays, {report.source: report.delay for report in reports})
    flags += unit_flags(episodes, overall.delays)
    flags += motion_flags({report.source: report.motion for report in reports}, overall.motion, overall.limits_given)
    flags += wording_flags(sentences, overall.wording)
    flags += listening_flags(overall.listening)
    flags += duplicate_flags(overall.duplicates, len(reports))
    return flags


def _sentences(reports: Sequence[EpisodeReport]) -> dict[str, str]:
    return {report.source: normalize_instruction(report.instruction) for report in reports}


def _cameras(reports: Sequence[EpisodeReport]) -> list[str]:
    return sorted({name for report in reports for name in report.cameras})


def _rates(reports: Sequence[EpisodeReport], camera: str) -> list[float]:
    timings = [report.cameras[camera].timing for report in reports if camera in report.cameras]
    return [timing.rate_hz for timing in timings if timing.rate_hz is not None]


def _span(parts: list[Arrivals]) -> float:
    stamps = np.concatenate([part.stamps for part in parts])
    return float(np.ptp(stamps))
