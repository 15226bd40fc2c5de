"""All checks, in the order in which their findings explain each other."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..camera_topics import camera_topics
from ..shared_memory import left_behind
from . import gather
from .chain import check_base_timeout, check_end
from .finding import Finding, error
from .gpu import check_onnx_gpu, check_torch_gpu
from .machine import FRAME, check_board, check_disk, check_memory, check_shared_memory, check_socket_buffers
from .policy import Wants, check_policy
from .probe import probe
from .ros import check_ros
from .software import PACKAGES, check_packages, check_python
from .topics import check_camera, check_clock, check_command, check_emergency_stop, check_instruction


@dataclass(frozen=True)
class Robot:
    """What the robot's topics are called, and how they are to be watched; see `observe.observe`.

    Attributes:
        images: topics of its cameras; empty: those that the policy's cameras have.
        encoding: Parameter `encoding` of the node; empty: images are what their messages say.
    """

    namespace: str
    images: tuple[str, ...]
    compressed: bool
    command: str
    stamped: bool
    emergency_stop: str
    instruction: str
    use_sim_time: bool
    seconds: float
    encoding: str = ""


def examine(policy: Path | None, device: str, engine: str, robot: Robot | None) -> list[Finding]:
    """Check this machine.

    Args:
        policy: policy directory; None: no policy is loaded.
        device: torch device.
        engine: that computes the policy's steps.
        robot: whose topics are watched; None: none are.
    """
    packages = probe(tuple(PACKAGES))
    hardware, ros = gather.gpu_hardware(), gather.ros_facts()
    findings = [check_python(sys.version_info[:2]), *check_packages(packages), *check_ros(ros)]
    findings += [check_torch_gpu(packages["torch"], hardware)]
    onnx = check_onnx_gpu(packages["onnxruntime"], hardware)
    findings += [] if onnx is None else [onnx]
    findings += check_board(gather.board())
    findings += check_memory(*gather.memory_facts())
    findings += [check_disk(shutil.disk_usage(Path.home()).free, str(Path.home()))]
    findings += [check_shared_memory(len(left_behind()))]
    end = check_end(gather.processes())
    findings += [] if end is None else [end]
    wants = None
    if policy is not None:
        loaded, wants = check_policy(policy, device, engine)
        findings += loaded
    frame = FRAME
    if robot is not None and not ros.problem:
        seen, frame = _watch(robot, wants)
        findings += seen
    buffers = gather.rmem_max()
    if buffers is not None:
        findings.append(check_socket_buffers(buffers, frame))
    return findings


def _watch(robot: Robot, wants: Wants | None) -> tuple[list[Finding], int]:
    """Findings on the topics, and the bytes of a raw picture."""
    from ..images import ImageError, ImageRules  # needs rclpy and OpenCV
    from .observe import observe

    try:
        rules = ImageRules(robot.encoding)
    except ImageError as refusal:
        return [error("encoding", str(refusal), "give one of these, or none")], FRAME
    images = robot.images or camera_topics(() if wants is None else wants.cameras)
    seen = observe(
        robot.namespace,
        images,
        robot.compressed,
        robot.command,
        robot.emergency_stop,
        robot.instruction,
        robot.use_sim_time,
        robot.seconds,
        rules,
    )
    clock = check_clock(robot.use_sim_time, seen.clocks, seen.now)
    findings = [] if clock is None else [clock]
    for camera in seen.cameras:
        findings += check_camera(camera, None if wants is None else wants.dt)
    findings.append(check_command(seen.command, robot.stamped, seen.command_publishers, seen.command_listeners))
    findings += check_base_timeout(seen.timeouts)
    findings.append(check_instruction(seen.instruction, seen.speakers, seen.sentences))
    findings.append(check_emergency_stop(seen.emergency_stop, seen.emergency_stop_publishers))
    raw = [] if robot.compressed else [frame.size for camera in seen.cameras for frame in camera.frames]
    return findings, max(raw, default=FRAME)
