"""Stamps, clocks and frames that are not as they should be."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from made_episodes import Drawn, make_set, with_frames
from numpy.typing import NDArray

from mobile_vla_models import DataError
from mobile_vla_models.data.audit import Audit, Flag, Severity, audit
from mobile_vla_models.data.audit.clock import measure_clock, sample_arrivals
from mobile_vla_models.data.audit.neighbours import groups, near_pairs
from mobile_vla_models.data.audit.timing import measure_timing
from mobile_vla_models.data.episode import Episode


@pytest.fixture(scope="module")
def clean() -> list[Episode]:
    return make_set(12, measured=False)


def of(report: Audit, check: str) -> list[Flag]:
    return [flag for flag in report.flags if flag.check == check]


def with_camera(episode: Episode, **changes: object) -> Episode:
    camera = episode.cameras["front"]
    assert isinstance(camera, Drawn)
    return dataclasses.replace(episode, cameras={"front": dataclasses.replace(camera, **changes)})  # type: ignore[arg-type]


def without(episode: Episode, rows: NDArray[np.bool_]) -> Episode:
    camera = episode.cameras["front"]
    assert isinstance(camera, Drawn)
    assert camera.received is not None
    frames = tuple(frame for frame, row in zip(camera.frames, rows, strict=True) if not row)
    return with_camera(episode, stamps=camera.stamps[~rows], received=camera.received[~rows], frames=frames)


def test_rate_and_gaps_are_measured() -> None:
    stamps = np.delete(np.arange(0.0, 10.0, 0.1), [20, 50, 51])
    timing = measure_timing(stamps, 12.0)
    assert timing.rate_hz == pytest.approx(10.0)
    assert timing.longest_gap_s == pytest.approx(0.3)
    assert timing.missed_share == pytest.approx(0.03)
    assert timing.uncovered_s == pytest.approx(2.1)
    silent = measure_timing(stamps, 12.0, np.zeros(len(stamps), np.bool_))
    assert (silent.longest_gap_s, silent.missed_share) == (0.0, 0.0)


def test_stamps_that_go_back_are_counted() -> None:
    timing = measure_timing(np.array([0.0, 0.1, 0.05, 0.15, 0.15, 0.25]), 0.3)
    assert (timing.backwards, timing.repeated) == (1, 1)


@pytest.mark.parametrize("count", [0, 1])
def test_a_stream_of_nothing_has_no_rate(count: int) -> None:
    assert measure_timing(np.zeros(count), 5.0).rate_hz is None


def test_gaps_of_a_camera_are_flagged(clean: list[Episode]) -> None:
    rows = np.zeros(len(clean[0].cameras["front"].stamps), np.bool_)
    rows[10:17] = True
    (flag,) = of(audit([without(clean[0], rows), *clean[1:]]), "timing")
    assert flag.episodes == (clean[0].source,)
    assert "silent for up to 0.80 s" in flag.found


def test_another_rate_and_a_camera_that_died_are_flagged(clean: list[Episode]) -> None:
    count = len(clean[0].cameras["front"].stamps)
    slow = without(clean[0], np.arange(count) % 2 == 1)
    dead = without(clean[1], np.arange(len(clean[1].cameras["front"].stamps)) > 25)
    flags = {flag.episodes: flag.found for flag in of(audit([slow, dead, *clean[2:]]), "timing")}
    assert "5.0 to 5.0 Hz, where the set's median is 10.0 Hz" in flags[(slow.source,)]
    assert "at an episode's begin or end" in flags[(dead.source,)]


def test_stamps_of_a_camera_that_go_back_are_flagged(clean: list[Episode]) -> None:
    stamps = clean[0].cameras["front"].stamps.copy()
    stamps[7] -= 0.3
    flags = of(audit([with_camera(clean[0], stamps=stamps), *clean[1:]]), "timing")
    assert [flag.found for flag in flags if flag.severity is Severity.ERROR] == [
        "camera front: stamps go backwards 1 times"
    ]


def test_commands_that_pause_while_moving_are_flagged(clean: list[Episode]) -> None:
    actions = clean[0].actions
    rows = (actions.stamps < clean[0].begin + 1.0) | (actions.stamps > clean[0].begin + 1.9)
    cut = dataclasses.replace(actions, stamps=actions.stamps[rows], values=actions.values[rows], received=None)
    (flag,) = of(audit([dataclasses.replace(clean[0], actions=cut), *clean[1:]]), "timing")
    assert flag.found.startswith("commands: silent for up to 0.9")
    assert flag.found.endswith("while moving")


def test_offset_jitter_and_drift_of_a_clock_are_measured() -> None:
    rng = np.random.default_rng(0)
    stamps = np.arange(100.0, 160.0, 0.1)
    jitter = rng.uniform(0.0, 0.02, len(stamps))
    received = stamps + 0.05 + 400e-6 * (stamps - 130.0) + jitter
    arrivals = sample_arrivals(stamps, received)
    assert arrivals is not None
    clock = measure_clock([arrivals])
    assert clock.offset_s == pytest.approx(0.06, abs=0.005)
    assert clock.jitter_s == pytest.approx(0.018, abs=0.005)
    assert clock.drift == pytest.approx(400e-6, abs=100e-6)
    assert sample_arrivals(stamps, None) is None


@pytest.mark.parametrize(
    ("offset", "words", "severity"),
    [
        (3600.0, "3600.00 s after their header stamps", Severity.ERROR),
        (-0.1, "before they were taken", Severity.WARNING),
        (0.3, "ms old when they are received", Severity.WARNING),
    ],
)
def test_clocks_apart_are_flagged(clean: list[Episode], offset: float, words: str, severity: Severity) -> None:
    odd = with_camera(clean[0], received=clean[0].cameras["front"].stamps + offset)
    (flag,) = of(audit([odd, *clean[1:]]), "clock")
    assert words in flag.found
    assert flag.severity is severity
    assert flag.episodes == (clean[0].recording,)


def test_a_clock_that_drifts_over_a_recording_is_flagged(clean: list[Episode]) -> None:
    parts = []
    for number, episode in enumerate(clean[:4]):
        stamps = np.arange(0.0, 5.0, 0.1) + 10.0 * number
        moved = with_camera(episode, stamps=stamps, received=stamps + 0.02 + 2e-3 * stamps)
        parts.append(dataclasses.replace(moved, source=f"long#{number}"))
    flags = of(audit([*parts, *clean[4:]]), "clock")
    assert any("drift by up to 2000 ppm" in flag.found and flag.episodes == ("long",) for flag in flags)


def test_a_way_of_uneven_length_is_flagged(clean: list[Episode]) -> None:
    stamps = clean[0].cameras["front"].stamps
    late = np.where(np.arange(len(stamps)) % 3 == 0, 0.18, 0.01)
    (flag,) = of(audit([with_camera(clean[0], received=stamps + late), *clean[1:]]), "clock")
    assert "differ by up to 170 ms" in flag.found


def test_a_frozen_camera_is_flagged(clean: list[Episode]) -> None:
    camera = clean[2].cameras["front"]
    assert isinstance(camera, Drawn)
    frames = (*camera.frames[:12], *[camera.frames[12]] * (len(camera.frames) - 12))
    (flag,) = of(audit([*clean[:2], with_camera(clean[2], frames=frames), *clean[3:]]), "pictures")
    assert flag.severity is Severity.ERROR
    assert flag.episodes == (clean[2].source,)


def test_a_robot_that_stands_may_see_the_same(clean: list[Episode]) -> None:
    camera = clean[2].cameras["front"]
    assert isinstance(camera, Drawn)
    still = dataclasses.replace(
        with_camera(clean[2], frames=(camera.frames[0],) * len(camera.frames)),
        actions=dataclasses.replace(clean[2].actions, values=np.zeros_like(clean[2].actions.values)),
        instruction="look at the wall",
    )
    assert audit([*clean[:2], still, *clean[3:]]).flags == ()


@pytest.mark.parametrize(
    ("level", "words"),
    [(0.03, "most frames are dark"), (20.0, "most frames are over-exposed"), (0.0, "most frames are of one shade")],
)
def test_spoilt_pictures_are_flagged(clean: list[Episode], level: float, words: str) -> None:
    spoilt = with_frames(clean[0], lambda frame: np.clip(frame * level, 0, 255).astype(np.uint8))
    flags = of(audit([spoilt, *clean[1:]]), "pictures")
    assert any(words in flag.found and flag.episodes == (spoilt.source,) for flag in flags)


@dataclasses.dataclass(frozen=True)
class Damaged:
    stamps: NDArray[np.float64]
    received: NDArray[np.float64] | None

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        raise DataError("run.db3: frame 3 cannot be decoded")


def test_frames_that_cannot_be_read_are_flagged_and_the_rest_goes_on(clean: list[Episode]) -> None:
    camera = clean[0].cameras["front"]
    bad = dataclasses.replace(clean[0], cameras={"front": Damaged(camera.stamps, camera.received)})
    report = audit([bad, *clean[1:]])
    (flag,) = of(report, "pictures")
    assert "frame 3 cannot be decoded" in flag.found
    assert flag.episodes == (bad.source,)
    assert report.episodes[1].cameras["front"].frames.sampled == 6


def test_a_camera_that_some_lack_is_flagged(clean: list[Episode]) -> None:
    both = [dataclasses.replace(e, cameras={**e.cameras, "rear": e.cameras["front"]}) for e in clean[:11]]
    (flag,) = of(audit([*both, clean[11]]), "pictures")
    assert flag.episodes == (clean[11].source,)
    assert "rear" in flag.found


def test_near_pairs_are_those_of_a_full_comparison() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(0.0, 1.0, (120, 4)).astype(np.float32)
    distances = np.sqrt(((vectors[:, None] - vectors[None]) ** 2).mean(axis=2))
    expected = {(a, b) for a, b in np.argwhere(distances < 0.4).tolist() if a < b}
    found = [tuple(sorted((row, int(other)))) for row, near in near_pairs(vectors, 0.4) for other in near]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert len(expected) > 20


def test_groups_are_linked_and_sorted() -> None:
    vectors = np.array([[0.0], [5.0], [0.1], [0.2], [5.05], [9.0]], np.float32)
    assert [sorted(group) for group in groups(vectors, 0.15)] == [[0, 2, 3], [1, 4]]
    assert groups(vectors[:1], 1.0) == []
