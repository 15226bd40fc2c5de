from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from mobile_vla_models import ActionChunk
from mobile_vla_ros.control.stepper import PolicyStepper

FRAME = np.zeros((4, 6, 3), dtype=np.uint8)


@dataclass
class Recorder:
    calls: list[str] = field(default_factory=list)
    broken: bool = False

    def reset(self) -> None:
        self.calls.append("reset")

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> ActionChunk:
        self.calls.append(instruction)
        if self.broken:
            raise RuntimeError("broken")
        return ActionChunk.of_base(np.full((5, 2), 0.1, np.float32), np.zeros(5, np.float32), 0.2)


def test_the_plan_carries_the_stamp_and_the_instruction_of_its_frame() -> None:
    plan = PolicyStepper(Recorder(), 0.2).step(FRAME, 12.5, "go", 7)
    assert (plan.stamp, plan.dt, plan.instruction_id) == (12.5, 0.2, 7)
    assert plan.at(12.6) == pytest.approx((0.1, 0.1))


def test_history_is_kept_within_a_run_and_reset_at_a_new_instruction_a_gap_and_a_step_back() -> None:
    policy = Recorder()
    stepper = PolicyStepper(policy, 0.2)
    for stamp in (1.0, 1.2, 1.4, 1.9):
        stepper.step(FRAME, stamp, "a", 1)
    assert policy.calls == ["reset", "a", "a", "a", "a"]
    policy.calls.clear()
    stepper.step(FRAME, 2.1, "a", 2)  # the same words sent again are a new run
    assert policy.calls == ["reset", "a"]
    policy.calls.clear()
    stepper.step(FRAME, 5.0, "a", 2)
    stepper.step(FRAME, 4.8, "a", 2)
    assert policy.calls == ["reset", "a", "reset", "a"]


def test_history_is_reset_after_the_policy_raised() -> None:
    policy = Recorder()
    stepper = PolicyStepper(policy, 0.2)
    stepper.step(FRAME, 1.0, "a", 1)
    policy.broken = True
    with pytest.raises(RuntimeError, match="broken"):
        stepper.step(FRAME, 1.2, "a", 1)
    policy.broken = False
    policy.calls.clear()
    stepper.step(FRAME, 1.4, "a", 1)
    assert policy.calls == ["reset", "a"]
