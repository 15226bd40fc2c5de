"""Intervals and tests are those of the textbooks."""

import numpy as np
import pytest

from mobile_vla_models.evaluation.statistics import (
    bootstrap_counts,
    bootstrap_mean,
    interval,
    mcnemar_exact,
    paired_difference,
    wilson_interval,
)


def test_wilson_interval_is_the_textbooks() -> None:
    low, high = wilson_interval(80, 100)
    assert (round(low, 4), round(high, 4)) == (0.7112, 0.8666)
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == 1.0


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_no_proportion_no_interval(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson_interval(successes, trials)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(0, 0, 1.0), (3, 3, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (2, 9, 0.0654296875), (9, 2, 0.0654296875)],
)
def test_mcnemar_is_a_sign_test_of_the_discordant(first: int, second: int, expected: float) -> None:
    assert mcnemar_exact(first, second) == pytest.approx(expected)


def test_paired_difference_is_newcombes_example() -> None:
    """Newcombe (1998), table II: 36, 12, 2, 0 give 0.2000 with 0.0569 to 0.3404 by method 10."""
    found = paired_difference(36, 12, 2, 0)
    assert tuple(round(value, 4) for value in found) == (0.2, 0.0569, 0.3404)


def test_without_difference_the_interval_still_has_a_width() -> None:
    difference, low, high = paired_difference(10, 0, 0, 0)
    assert difference == 0.0
    assert low < -0.2
    assert high > 0.2


def test_exchanging_the_two_mirrors_the_interval() -> None:
    difference, low, high = paired_difference(20, 9, 2, 5)
    assert paired_difference(20, 2, 9, 5) == pytest.approx((-difference, -high, -low))


def test_bootstrap_of_a_mean_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [bootstrap_mean(rng.normal(1.0, 1.0, 40), seed) for seed in range(100)]
    covered = sum(low <= 1.0 <= high for low, high in intervals)
    assert 88 <= covered <= 99


def test_resamples_have_the_size_of_the_set_and_a_seed() -> None:
    counts = bootstrap_counts(7, seed=3, resamples=50)
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert np.array_equal(counts, bootstrap_counts(7, seed=3, resamples=50))
    assert not np.array_equal(counts, bootstrap_counts(7, seed=4, resamples=50))


def test_an_interval_leaves_out_resamples_without_the_figure() -> None:
    assert interval(np.array([np.nan, 1.0, np.inf, 1.0])) == (1.0, 1.0)
    assert interval(np.array([np.nan])) is None
