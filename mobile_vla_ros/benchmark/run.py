"""The benchmark of the node: a camera and policy_node as processes in a ROS domain of their own, and a listener."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobile_vla_models.benchmark.policy.opened import BenchmarkError
from mobile_vla_models.benchmark.policy.pictures import INSTRUCTION

from ..bringup.domain import free_domain, use_domain
from ..bringup.process import NodeProcess, node_process
from .figures import Figures, PeriodError, period_error
from .listener import Listener

CONTROL_HZ = 20.0
PATIENCE = 1.0  # s between looks at the processes
SETTLED = 3.0  # s after the instruction from which on it counts
START_TIMEOUT = 600.0  # s, for random weights of full size to be drawn on a busy machine
# What would stop a policy that is too slow, or done, would end the measurement; commands are stamped to be told apart.
PARAMETERS = {
    "control_hz": CONTROL_HZ,
    "enable_stamped_cmd_vel": "true",
    "arm_on_activate": "true",
    "policy_timeout": 10.0,
    "plan_timeout": 10.0,
    "max_blind_distance": 100.0,
    "max_blind_angle": 100.0,
    "stop_threshold": 1.0,
}


@dataclass(frozen=True)
class Setting:
    """How the node is to run.

    Attributes:
        transport: of the camera's frames, raw or compressed.
        device: torch device of the policy.
        threads: that compute it on the CPU; 0: the node chooses.
        seconds: to listen.
    """

    transport: str
    device: str
    threads: int
    seconds: float


@dataclass(frozen=True)
class Measured:
    """A node, measured.

    Attributes:
        policy: what it ran.
        setting: how.
        threads: what the node says of them.
        cores: that there are.
        load: tasks that wanted to run, before and after: means over a minute.
        figures: of it.
        machine: how evenly a process woke meanwhile that did nothing but sleep for a period of control.
    """

    policy: str
    setting: Setting
    threads: str
    cores: int
    load: tuple[float, float]
    figures: Figures
    machine: PeriodError

    def document(self) -> dict[str, Any]:
        """As plain types, for JSON; times in ms."""
        return asdict(self)


def measure_policy(directory: Path, engine: str, setting: Setting) -> Measured:
    """Measure the node with a policy directory; see `measure_node`."""
    parameters = {
        "policy": directory.resolve(),
        "engine": engine,
        "device": setting.device,
        "threads": setting.threads,
    }
    return measure_node(f"{directory}, engine {engine}", ["mobile_vla_ros.policy_node"], parameters, setting)


def measure_full_size(precision: str, engine: str, setting: Setting) -> Measured:
    """Measure the node with random weights of full size; see `measure_node`."""
    module = ["mobile_vla_ros.benchmark.full_size_node", precision, setting.device, engine, str(setting.threads)]
    return measure_node(f"random weights of full size, {precision}, engine {engine}", module, {}, setting)


def measure_node(name: str, module: Sequence[str], parameters: Mapping[str, object], setting: Setting) -> Measured:
    """Start camera and node, give an instruction, listen, and end them.

    Args:
        name: of the policy, for people.
        module: that runs the node, and its own arguments.
        parameters: of the node, besides those that each measurement needs.
        setting: how it is to run.

    Raises:
        BringUpError: a process died.
        BenchmarkError: the node does not come up, or nothing comes of it.
    """
    environment = use_domain(free_domain())
    values = {**PARAMETERS, "image_transport": setting.transport, **parameters}
    given = [part for key, value in values.items() for part in ("-p", f"{key}:={value}")]
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        listener = Listener()
        stack.callback(listener.close)
        camera = [sys.executable, "-m", "mobile_vla_ros.benchmark.camera", setting.transport]
        node = [sys.executable, "-m", *module, "--ros-args", *given]
        sleeper = [sys.executable, "-m", "mobile_vla_ros.benchmark.sleeper", str(1.0 / CONTROL_HZ)]
        processes = [
            stack.enter_context(node_process(process, command, environment, logs / f"{process}.log"))
            for process, command in (("sleeper", sleeper), ("camera", camera), ("policy_node", node))
        ]
        _wait_until_driving(listener, processes)
        _listen(listener, processes, SETTLED)
        listener.commands.clear()
        listener.steps.clear()
        before, begin = _load(), time.monotonic()
        _listen(listener, processes, setting.seconds)
        try:
            figures = Figures.of(listener.steps, listener.commands, CONTROL_HZ)
        except ValueError as error:
            said = processes[-1].last_lines()
            raise BenchmarkError(f"{error}; policy_node is {listener.status!r} and said:\n{said}") from error
        cores = len(os.sched_getaffinity(0))
        wakes = [float(line) for line in processes[0].log.read_text(encoding="utf-8").splitlines()]
        machine = period_error([wake for wake in wakes if wake >= begin], 1.0 / CONTROL_HZ)
        return Measured(name, setting, _threads(processes[-1].log), cores, (before, _load()), figures, machine)


def _wait_until_driving(listener: Listener, processes: Sequence[NodeProcess]) -> None:
    """Give the instruction until the node follows its plans."""
    begin = time.monotonic()
    while not listener.steps:
        if time.monotonic() - begin > START_TIMEOUT:
            said = processes[-1].last_lines()
            raise BenchmarkError(f"no plan after {START_TIMEOUT:.0f} s; policy_node is {listener.status!r}:\n{said}")
        if listener.is_heard and listener.status == "waiting: no instruction":
            listener.instruct(INSTRUCTION)
        _listen(listener, processes, PATIENCE)


def _listen(listener: Listener, processes: Sequence[NodeProcess], seconds: float) -> None:
    """Take in messages; raises BringUpError if a process has ended meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0.0:
        listener.listen(min(left, PATIENCE))
        for process in processes:
            process.check()


def _threads(log: Path) -> str:
    """What a node says of its threads when it starts."""
    found = re.search("threads: (.*)", log.read_text(encoding="utf-8", errors="replace"))
    return "unknown" if found is None else found.group(1)


def _load() -> float:
    return round(os.getloadavg()[0], 2)
