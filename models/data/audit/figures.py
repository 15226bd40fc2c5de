"""What an audit measured over the set, as rows of a label and a value: for the terminal and the page."""

from __future__ import annotations

from .delay import Delay
from .run import Audit, Overall
from .statistics import share


def overall_rows(audit: Audit) -> list[tuple[str, str]]:
    """One row each."""
    overall, motion, wording = audit.overall, audit.overall.motion, audit.overall.wording
    lengths = [report.seconds for report in audit.episodes]
    rows = [
        ("episodes", f"{overall.episodes} of {overall.recordings} recordings"),
        ("length", f"{overall.seconds / 60:.1f} min; an episode {min(lengths):.1f} to {max(lengths):.1f} s"),
    ]
    for camera, rate in overall.camera_hz.items():
        timings = [report.cameras[camera].timing for report in audit.episodes if camera in report.cameras]
        gap = max((timing.longest_gap_s or 0.0 for timing in timings), default=0.0)
        missed = max((timing.missed_share for timing in timings), default=0.0)
        rows.append((f"camera {camera}", f"{_hz(rate)}, longest gap {gap:.2f} s, at most {missed:.1%} missed"))
        rows += _clock_rows(camera, overall)
        rows.append((f"colour order, {camera}", _colours(camera, overall)))
    commands = [report.commands for report in audit.episodes]
    gap = max((timing.longest_gap_s or 0.0 for timing in commands), default=0.0)
    rows.append(("commands", f"{_hz(overall.command_hz)}, longest gap while moving {gap:.2f} s"))
    measured = sum(report.odometry is not None for report in audit.episodes)
    rows.append(("odometry", f"{_hz(overall.odometry_hz)}, in {measured} of {overall.episodes} episodes"))
    if overall.delays:
        rows += [(f"command to motion, {name}", delay_text(delay)) for name, delay in overall.delays.items()]
    else:
        rows.append(("command to motion", "not known: no odometry, or too little motion"))
    kind = "given" if overall.limits_given else "seen"
    rows += [
        (
            f"{name}, limits {kind}",
            f"{low:.3g} to {high:.3g}; {motion.saturated_shares.get(name, 0.0):.0%} of the moving time at one",
        )
        for name, (low, high) in overall.limits.items()
    ]
    rows.append(("standing", f"{motion.stationary_share:.0%} of the time"))
    if motion.left_share is not None:
        rows.append(
            (
                "turning",
                f"{motion.left_share:.0%} of the time left; {motion.mostly_left} episodes mostly left, "
                f"{motion.mostly_right} right",
            )
        )
    stand = f", for {motion.stand_median_s:.2f} s (median)" if motion.stand_median_s is not None else ""
    rows.append(("episodes that end standing", f"{motion.ends_standing} of {overall.episodes}{stand}"))
    distinct = sum(bool(text) for text in wording.counts)
    rows.append(("sentences", f"{distinct} different, {wording.counts.get('', 0)} empty"))
    listening = overall.listening
    if listening.images:
        lost = share(listening.outside, listening.images)
        rows.append(("images in no episode", f"{lost:.0%} of {listening.images}"))
        rows.append(("sentences that mean stop", str(sum(listening.stop_sentences.values()))))
        repeats = sum(listening.repeats.values())
        rows.append(("instructions given again", f"{repeats}, in {len(listening.repeats)} episodes"))
    rows.append(("sentences that name a side", f"{wording.left} left, {wording.right} right"))
    if wording.sided_turns:
        agree = share(wording.turn_as_told, wording.sided_turns)
        rows.append(("turns to the side named", f"{agree:.0%} of {wording.sided_turns}"))
    scripts, copies = overall.duplicates.same_commands, overall.duplicates.same_pictures
    repeats = sum(map(len, scripts)) - len(scripts)
    rows.append(("nearly the same commands", f"{repeats} episodes repeat one of {len(scripts)} others"))
    rows.append(("nearly the same pictures", f"{sum(map(len, copies))} episodes in {len(copies)} groups"))
    return rows


def delay_text(delay: Delay) -> str:
    """One delay in words."""
    return (
        f"dead time {delay.dead_time_s * 1e3:.0f} ms ({delay.low_s * 1e3:.0f} to {delay.high_s * 1e3:.0f}), then "
        f"{delay.response}; confidence {delay.confidence:.2f}; "
        f"correlation peaks at {delay.peak_s * 1e3:.0f} ms"
    )


def _clock_rows(camera: str, overall: Overall) -> list[tuple[str, str]]:
    clocks = list(overall.clocks.get(camera, {}).values())
    if not clocks:
        return []
    offsets = [clock.offset_s * 1e3 for clock in clocks]
    drifts = [clock.drift * 1e6 for clock in clocks if clock.drift is not None]
    drift = f", drift {min(drifts):.0f} to {max(drifts):.0f} ppm" if drifts else ""
    jitter = max(clock.jitter_s for clock in clocks) * 1e3
    text = f"{min(offsets):.1f} to {max(offsets):.1f} ms after the stamp, jitter up to {jitter:.1f} ms{drift}"
    return [(f"received, {camera}", text)]


def _colours(camera: str, overall: Overall) -> str:
    if camera not in overall.colours:
        return "no frame could be read"
    found = overall.colours[camera]
    sure = f" (confidence {found.confidence:.4g})" if found.confidence is not None else ""
    return (
        f"{found.order.value}{sure}; named colours: {len(found.votes_rgb)} for RGB, {len(found.votes_bgr)} for BGR; "
        f"same scene: {found.same_pairs} pairs agree, {len(found.crosswise_pairs)} crosswise; "
        f"{found.cold_episodes} of {found.judged_episodes} with a cold lower half"
    )


def _hz(rate: float | None) -> str:
    return f"{rate:.1f} Hz" if rate is not None else "no rate"
