import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_ros.control.plan import ActionPlan, ActionRange

RANGE = ActionRange((-0.6, -1.2), (0.6, 1.2))


def make_plan(rows: int = 4, stamp: float = 10.0, dt: float = 0.2) -> ActionPlan:
    k = np.arange(rows, dtype=np.float32)
    return ActionPlan(stamp, dt, np.stack([0.1 * k, -0.2 * k], axis=1), 0.25 * k, instruction_id=1)


def test_rows_hold_at_their_times_and_are_interpolated_between() -> None:
    plan = make_plan()
    assert plan.at(10.0) == (0.0, 0.0)
    assert plan.at(10.2) == pytest.approx((0.1, -0.2), abs=1e-6)
    assert plan.at(10.3) == pytest.approx((0.15, -0.3), abs=1e-6)
    assert plan.stop_at(10.3) == pytest.approx(0.375, abs=1e-6)
    assert plan.at(10.6) == pytest.approx((0.3, -0.6), abs=1e-6)
    assert plan.end == pytest.approx(10.6)


@pytest.mark.parametrize("now", [10.61, 1e9, 9.79, -1e9, math.nan, math.inf])
def test_there_is_nothing_past_the_end_nor_well_before_the_beginning(now: float) -> None:
    assert make_plan().at(now) is None
    assert make_plan().stop_at(now) is None


def test_the_first_row_holds_a_little_before_the_stamp() -> None:
    assert make_plan().at(9.9) == (0.0, 0.0)


def test_a_plan_of_one_row_holds_at_its_stamp_only() -> None:
    plan = make_plan(rows=1)
    assert plan.at(10.0) == (0.0, 0.0)
    assert plan.at(10.01) is None


@given(st.integers(1, 12), st.floats(-2.0, 4.0))
def test_a_looked_up_velocity_lies_between_the_rows(rows: int, offset: float) -> None:
    plan = make_plan(rows)
    velocity = plan.at(10.0 + offset)
    if velocity is not None:
        assert plan.velocity[:, 0].min() <= velocity[0] <= plan.velocity[:, 0].max()
        assert plan.velocity[:, 1].min() <= velocity[1] <= plan.velocity[:, 1].max()


@pytest.mark.parametrize(
    ("plan", "defect"),
    [
        (ActionPlan(0.0, 0.2, np.full((3, 2), np.nan), np.zeros(3), 1), "velocity is not finite"),
        (ActionPlan(0.0, 0.2, np.array([[0.0, np.inf]]), np.zeros(1), 1), "velocity is not finite"),
        (ActionPlan(0.0, 0.2, np.zeros((3, 2)), np.full(3, np.nan), 1), "stop is not a probability"),
        (ActionPlan(0.0, 0.2, np.zeros((3, 2)), np.full(3, 1.1), 1), "stop is not a probability"),
        (
            ActionPlan(0.0, 0.2, np.zeros((3, 3)), np.zeros(3), 1),
            r"velocity has shape \(3, 3\): expected \(n, 2\)",
        ),
        (ActionPlan(0.0, 0.2, np.zeros((0, 2)), np.zeros(0), 1), r"velocity has shape \(0, 2\)"),
        (ActionPlan(0.0, 0.2, np.zeros((3, 2)), np.zeros(2), 1), r"stop has shape \(2,\): expected \(3,\)"),
        (ActionPlan(math.nan, 0.2, np.zeros((3, 2)), np.zeros(3), 1), "stamp nan s"),
        (ActionPlan(0.0, 0.0, np.zeros((3, 2)), np.zeros(3), 1), "dt above 0"),
        (ActionPlan(0.0, 1e5, np.zeros((3, 2)), np.zeros(3), 1), "dt above 0 and at most 5 s"),
        (
            ActionPlan(0.0, 0.2, np.zeros((200_000, 2)), np.zeros(200_000), 1),
            "200000 rows, .* at most 1000 rows and 60 s",
        ),
        (ActionPlan(0.0, 5.0, np.zeros((14, 2)), np.zeros(14), 1), "14 rows, 5 s apart: expected at most 1000 rows"),
    ],
)
def test_defects_are_named(plan: ActionPlan, defect: str) -> None:
    found = plan.defect(RANGE)
    assert found is not None
    assert re.search(defect, found)


def test_a_sound_plan_has_no_defect() -> None:
    assert make_plan().defect(RANGE) is None


@pytest.mark.parametrize(
    ("velocity", "excess"),
    [
        ((0.601, 0.0), None),  # what half precision may round to
        ((-0.601, -1.202), None),
        ((0.61, 0.0), "linear_x 0.610 is out of the policy's own range -0.6 to 0.6"),
        ((0.0, -1.3), "angular_z -1.300 is out of the policy's own range -1.2 to 1.2"),
    ],
)
def test_what_no_training_taught_is_out_of_range(velocity: tuple[float, float], excess: str | None) -> None:
    rows = np.zeros((3, 2))
    rows[1] = velocity
    assert ActionPlan(0.0, 0.2, rows, np.zeros(3), 1).defect(RANGE) == excess


def test_the_range_is_that_of_the_action_spec() -> None:
    spec = [SimpleNamespace(name="angular_z", minimum=-1.2, maximum=1.2)]
    with pytest.raises(KeyError, match="linear_x"):
        ActionRange.of(spec)
    spec.append(SimpleNamespace(name="linear_x", minimum=-0.6, maximum=0.6))
    assert ActionRange.of(spec) == RANGE


def test_a_script_declares_no_range() -> None:
    assert ActionRange.unbounded().excess(np.array([[1e9, -1e9]])) is None
