"""Golden vectors say how well they are reproduced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_models.errors import PolicyDirectoryError
from mobile_vla_models.golden import GoldenDifference, GoldenVectors
from mobile_vla_models.policy import VLAPolicy


@pytest.fixture
def golden(policy: VLAPolicy) -> GoldenVectors:
    return GoldenVectors.record(policy, policy.config)


def test_what_was_recorded_is_reproduced(policy: VLAPolicy, golden: GoldenVectors) -> None:
    difference = golden.check(policy, tolerance=1e-6)
    assert max(difference.continuous, difference.binary) <= 1e-6


def test_the_difference_is_a_share_of_each_dimensions_range(policy: VLAPolicy, golden: GoldenVectors) -> None:
    continuous, binary = golden.continuous.copy(), golden.binary.copy()
    continuous[1, 0, 0] += 0.012  # m/s, of 1.2
    continuous[2, 1, 1] -= 0.12  # rad/s, of 2.4
    binary[0, 2, 0] += 0.02
    difference = replace(golden, continuous=continuous, binary=binary).check(policy, tolerance=0.06)
    assert difference.continuous == pytest.approx(0.05, rel=1e-3)
    assert difference.binary == pytest.approx(0.02, rel=1e-3)
    assert str(difference) == "golden vectors reproduced within 5.0e-02 of each range"


@pytest.mark.parametrize("group", ["continuous", "binary"])
@pytest.mark.parametrize("wrong", [0.2, np.nan])
def test_a_group_beyond_the_tolerance_is_named(
    policy: VLAPolicy, golden: GoldenVectors, group: str, wrong: float
) -> None:
    values = getattr(golden, group).copy()
    values[-1] += wrong
    with pytest.raises(PolicyDirectoryError, match=rf"{group} differs by .* \(at most 5e-02 allowed\)"):
        replace(golden, **{group: values}).check(policy, tolerance=5e-2)


def test_groups_of_other_shapes_are_named(policy: VLAPolicy, golden: GoldenVectors) -> None:
    with pytest.raises(PolicyDirectoryError, match=r"binary has shape \(3, 3, 0\), the policy gives \(3, 3, 1\)"):
        replace(golden, binary=golden.binary[..., :0]).check(policy, tolerance=1.0)


def test_a_policy_says_how_well_it_was_reproduced_at_loading(policy: VLAPolicy, policy_dir: Path) -> None:
    assert policy.golden_difference is None
    assert VLAPolicy.from_pretrained(policy_dir).golden_difference == GoldenDifference(
        continuous=pytest.approx(0.0, abs=1e-6), binary=pytest.approx(0.0, abs=1e-6)
    )
    halved = VLAPolicy.from_pretrained(policy_dir, dtype="bfloat16").golden_difference
    assert halved is not None
    assert 0.0 < halved.continuous < 0.05
