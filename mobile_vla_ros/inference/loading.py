"""Loading the policy of a node."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rclpy.node import Node

from mobile_vla_models import MemoryShortageError, PolicyDirectoryError
from mobile_vla_models.policy_entries import check_entries

from ..control.stepper import Policy, PolicyStepper
from ..drivable import base_limits
from ..parameters import declare
from ..robot_node import StartError
from .worker import Answer, InferenceWorker, Request

WARM_UP_INSTRUCTION = "go to the red box"


class Worker(Protocol):
    """What a node hands frames to, and gets plans from; `inference.InferenceWorker` is one."""

    def defect(self) -> str:
        """Why the policy cannot be used until it is loaded anew; empty if it can. May be called often."""

    @property
    def replaced(self) -> int:
        """How many frames were, by newer ones, before the policy could take them."""

    def submit(self, request: Request) -> None:
        """Have a step made with these frames, or newer ones."""

    def discard(self) -> None:
        """What was submitted need not be answered."""

    def answers(self) -> list[Answer]:
        """What has been answered since the last call, oldest first."""

    def close(self, timeout: float) -> bool:
        """End it; whether it has ended within `timeout` s."""


class Opened(Protocol):
    """A policy that a node can drive with, wherever it runs."""

    @property
    def config(self) -> Any:
        """As of `DrivingPolicy`."""

    @property
    def identity(self) -> str:
        """Of what it is and answers, to tell policies apart; empty: not known."""

    @property
    def description(self) -> str:
        """What computes it, for the log."""

    def connect(self, answered: Callable[[], None]) -> Worker:
        """What is handed frames; `answered` is called when there is an answer."""


class DrivingPolicy(Policy, Protocol):
    """What a node needs of a policy; `mobile_vla_models.VLAPolicy` is one."""

    @property
    def config(self) -> Any:
        """Has `dt` (s), `cameras` (names, its first one first), `action.limits` and `action.continuous`.

        Limits have the fields of `mobile_vla_ros.control.Limits`; continuous are dimensions, each with `name`,
        `minimum` and `maximum`.
        """

    def warm_up(self, instructions: Iterable[str]) -> None:
        """Take a step under each, and forget it."""


@dataclass(frozen=True)
class Loaded:
    """A policy that is ready to drive.

    Attributes:
        policy: what steers.
        identity: of what it is and answers, to tell policies apart; empty: not known.
        description: what computes it, for the log.
        changed: Says which file the policy reads was changed since it was loaded; empty if none was.
    """

    policy: DrivingPolicy
    identity: str = ""
    description: str = ""
    changed: Callable[[], str] = lambda: ""

    @property
    def config(self) -> Any:
        """The policy's."""
        return self.policy.config

    def connect(self, answered: Callable[[], None]) -> InferenceWorker:
        """A worker in a thread of its own, which has taken the policy's first, slow step before anybody waits for it.

        Raises:
            StartError: that failed.
        """
        stepper = PolicyStepper(self.policy, self.config.dt)
        try:
            warm_up = partial(self.policy.warm_up, [WARM_UP_INSTRUCTION])
            return InferenceWorker(stepper, warm_up, answered, self.changed)
        except BaseException as error:
            raise StartError(f"the policy's first step failed: {type(error).__name__}: {error}") from error


def give_back_memory() -> None:
    """After a policy has been let go: its memory goes back to the machine, that of a GPU, too."""
    gc.collect()
    if "torch" in sys.modules:
        from mobile_vla_models.memory import give_back

        give_back()


@dataclass(frozen=True)
class PolicySource:
    """Where a policy is, and how it is to be run.

    Attributes:
        directory: of the policy; empty: not said.
        device: torch device.
        dtype, engine: see `VLAPolicy.from_pretrained`.
        threads: that compute it on the CPU; 0: the fastest number that leaves a core free.
    """

    directory: str
    device: str
    dtype: str
    engine: str
    threads: int


def declare_policy(node: Node) -> PolicySource:
    """Declare the parameters that say what to load.

    Raises:
        rclpy.exceptions.ParameterException: wrong type or out of range; the message names the parameter.
        StartError: none of the choices.
    """
    return PolicySource(
        declare(node, "policy", "", "policy directory"),
        declare(node, "device", "cpu", "torch device that runs the policy, such as cpu or cuda"),
        declare(
            node,
            "dtype",
            "auto",
            "number format of what is not quantised; auto: as the policy is stored",
            choices=("auto", "float32", "bfloat16", "float16"),
        ),
        declare(
            node,
            "engine",
            "torch",
            "what computes the steps; onnx: an export of the policy (mobile-vla export) in ONNX Runtime",
            choices=("torch", "torch-compile", "torch-cuda-graphs", "onnx"),
        ),
        declare(
            node,
            "threads",
            0,
            "that compute the policy on the CPU; 0: as many as leave a core to cameras and control",
            between=(0, 1024),
        ),
    )


def load(source: PolicySource, doing: Callable[[str], None]) -> Loaded:
    """Load the policy that a robot is to follow.

    Args:
        source: where it is.
        doing: is called with what is being done, at each of its steps.

    Raises:
        StartError: it cannot be loaded, or cannot drive this robot.
    """
    directory, device, dtype, engine = source.directory, source.device, source.dtype, source.engine
    if not directory:
        raise StartError("parameter policy is empty: expected the path of a policy directory")
    try:
        check_entries(Path(directory))  # before torch is imported, which takes seconds
    except PolicyDirectoryError as error:
        raise StartError(str(error)) from error
    doing("importing torch")
    try:
        from mobile_vla_models import VLAPolicy
        from mobile_vla_models.engine.threads import measure_threads, use_threads
        from mobile_vla_models.hashing import sha256_of
    except ImportError as error:
        raise StartError(f"the policy needs the Python package {error.name}, which is not installed") from error
    threads = use_threads(source.threads)
    try:
        doing(f"loading {directory} and checking its golden vectors")
        policy = VLAPolicy.from_pretrained(directory, device=device, dtype=dtype, engine=engine)
        base_limits(policy.config)
        # What it is, and what it answers: that says as much as its weights, and is read in a moment.
        identity = sha256_of(*(Path(directory) / name for name in ("config.json", "golden.safetensors")))
        changed = policy.files.replaced()
        if changed:
            raise StartError(f"policy {directory}: {changed} while it was being loaded")
        if not source.threads and engine == "torch" and device == "cpu":
            doing("choosing how many threads compute it")
            threads = measure_threads(lambda: policy.warm_up([WARM_UP_INSTRUCTION])) or threads
    except (PolicyDirectoryError, MemoryShortageError, OSError) as error:
        raise StartError(str(error)) from error
    except ValueError as error:
        raise StartError(f"policy {directory} cannot drive this robot: {error}") from error
    except RuntimeError as error:  # torch: no such device, out of memory
        raise StartError(f"policy {directory} does not load on device {device} as {dtype}: {error}") from error
    description = f"{policy.engine.describe()}; {policy.golden_difference}; weights {policy.files}; {threads}"
    return Loaded(policy, identity, description, policy.files.changed)
