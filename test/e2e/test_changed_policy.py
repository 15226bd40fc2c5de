"""A policy directory that is changed while its policy drives: the node drives on as before, or stands with a reason."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

pytest.importorskip("rclpy")

from bench import Bench
from lifecycle_msgs.msg import Transition

from mobile_vla_ros.share import SHIPPED_POLICY, share_path

pytestmark = pytest.mark.e2e

MAPPED, WEIGHTS = "mapped_policy_node.py", "model.safetensors"
DEADLINE = 0.5  # s
# The task must not be done while it is watched, nor a step late on a busy machine.
PARAMETERS = {"stop_threshold": 1.0, "policy_timeout": 0.8}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(share_path(SHIPPED_POLICY), tmp_path / "policy"))


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    """Weights of the same size that turn to the other side."""
    data = bytearray((share_path(SHIPPED_POLICY) / WEIGHTS).read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    last = max(name for name in header if name.startswith("head.continuous.mlp.") and name.endswith(".weight"))
    for name in (last, last.replace(".weight", ".bias")):
        first, end = header[name]["data_offsets"]
        numbers = np.frombuffer(data, np.float32, (end - first) // 4, begin + first)
        numbers.reshape(header[name]["shape"])[1::2] *= -1.0  # linear_x, angular_z by turns
    (tmp_path / "mirrored").write_bytes(data)
    return tmp_path / "mirrored"


def truncate(weights: Path, _: Path) -> None:
    os.truncate(weights, 0)


def shorten(weights: Path, _: Path) -> None:
    os.truncate(weights, weights.stat().st_size // 2)


def write_over(weights: Path, mirrored: Path) -> None:
    """As `cp`."""
    assert weights.stat().st_size == mirrored.stat().st_size
    shutil.copyfile(mirrored, weights)


def drive(bench: Bench, *command: str, policy: Path) -> None:
    """Turn left by the policy."""
    bench.start(*command, parameters={"policy": str(policy), **PARAMETERS})
    bench.start("camera.py", "rgb8")
    bench.until_ready()
    bench.instruct("turn left")
    bench.until(lambda: bench.commands[-1][2] > 0.3)


@pytest.mark.parametrize("change", [truncate, shorten, write_over])
def test_weights_in_memory_drive_on(
    bench: Bench, policy: Path, mirrored: Path, change: Callable[[Path, Path], None]
) -> None:
    drive(bench, "-m", "mobile_vla_ros.policy_node", policy=policy)
    change(policy / WEIGHTS, mirrored)
    bench.instruct("")
    bench.instruct("turn left")  # words are encoded anew
    bench.until(lambda: bench.commands[-1][2] > 0.3)
    begin = len(bench.commands)
    bench.until(lambda: len(bench.commands) > begin + 60)
    turns = [turn for _, _, turn in bench.commands[begin:]]
    assert mean(turns) > 0.1
    assert bench.state() == "active"


# Without a lease a truncated file may end a step that is under way, and the process with it.
@pytest.mark.parametrize(
    ("lease", "change"), [(True, truncate), (True, shorten), (True, write_over), (False, write_over)]
)
def test_mapped_weights_stand_until_they_are_loaded_anew(
    bench: Bench, policy: Path, mirrored: Path, change: Callable[[Path, Path], None], lease: bool
) -> None:
    drive(bench, MAPPED, *([] if lease else ["no-lease"]), policy=policy)
    begin = time.monotonic()
    change(policy / WEIGHTS, mirrored)
    waited = time.monotonic() - begin
    after = bench.zero_after(begin)
    print(f"the writer waited {waited:.3f} s, the command was zero after {after:.3f} s")
    assert after < DEADLINE
    assert waited < DEADLINE
    bench.until_status(f"stopped: policy: {policy / 'model.safetensors'} was ")
    bench.instruct("")
    bench.instruct("turn left")
    bench.until_status(f"stopped: policy: {policy / 'model.safetensors'} was ")
    bench.assert_still()
    assert bench.trigger("disarm") == ""
    assert bench.trigger("arm") == ""
    bench.assert_still()
    shutil.copyfile(share_path(SHIPPED_POLICY) / WEIGHTS, policy / WEIGHTS)
    for transition in ("DEACTIVATE", "CLEANUP", "CONFIGURE", "ACTIVATE"):
        assert bench.change_state(getattr(Transition, f"TRANSITION_{transition}"))
    bench.until_ready()
    bench.instruct("turn left")
    bench.until(lambda: bench.commands[-1][2] > 0.3)
