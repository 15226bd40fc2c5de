"""The demonstration itself: start the nodes, give the instructions, judge, write it all down."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from ..bringup.domain import free_domain, use_domain
from ..bringup.process import NodeProcess, node_process
from ..sim.scene import Scene, sample_scene
from ..sim.task import Outcome, Task
from ..sim.world import World
from .errors import DemoError
from .judge import Judge
from .outputs import remove_outputs, write_outputs
from .recorder import Recorder
from .recording import Recording
from .report import WORDS, run_table
from .tasks import choose_tasks, read_task

START_TIMEOUT = 240.0  # s, for torch to be imported and the policy to be loaded on a busy machine
SILENCE_TIMEOUT = 5.0  # s without odometry after which the simulation is given up
TIME_LIMIT = 30.0  # simulated s for an instruction
PAUSE = 0.7  # s between instructions, so that a person sees where one ends
PERIOD = 0.05  # s between looks at what came in


@dataclass(frozen=True)
class DemoConfig:
    """What to show.

    Attributes:
        policy: policy directory.
        out: folder for video, plot and logs.
        seed: of the room.
        instructions: sentences; empty: three that suit the room.
    """

    policy: Path
    out: Path
    seed: int
    instructions: tuple[str, ...] = ()


def hold_demo(config: DemoConfig, console: Console) -> bool:
    """Run it, write the files and say what happened; returns whether the robot did all that it was told.

    Raises:
        DemoError: it could not be held to its end.
        RendererError: nothing can be rendered here.
    """
    scene = sample_scene(np.random.default_rng(config.seed))
    with closing(World(scene)) as twin:
        recording = drive(config, scene, console)
        files = write_outputs(recording, twin, config.out, console)
    console.print(run_table(recording.runs))
    for file in files:
        console.print(str(file))
    return all(run.outcome is Outcome.REACHED for run in recording.runs)


def drive(config: DemoConfig, scene: Scene, console: Console) -> Recording:
    """Let the robot follow the instructions; everything that was started has ended on return.

    Args:
        config: what to show.
        scene: the simulated robot's room, to judge by.
        console: for progress.

    Raises:
        DemoError: a node died, did not come up or went silent.
    """
    if config.instructions:
        tasks: Sequence[Task] = [read_task(sentence, scene) for sentence in config.instructions]
    else:
        tasks = choose_tasks(scene)
    config.out.mkdir(parents=True, exist_ok=True)
    remove_outputs(config.out)
    domain = free_domain()
    environment = use_domain(domain)
    with ExitStack() as stack:
        status = stack.enter_context(console.status("starting sim_robot and policy_node"))
        recorder = Recorder()
        stack.callback(recorder.close)
        # The policy node is started last, and so ends first: its last zero finds the robot listening.
        nodes = [
            stack.enter_context(node_process(name, command, environment, config.out / f"{name}.log"))
            for name, command in _commands(config).items()
        ]
        _wait_until_up(recorder, nodes)
        console.print(f"sim_robot and policy_node are up, each a process of its own, in ROS domain {domain}")
        recorder.begin()
        _listen(recorder, nodes, PAUSE)
        for task in tasks:
            _follow(task, recorder, nodes, scene, status, console)
        recorder.instruct("")
        _listen(recorder, nodes, PAUSE)
        return recorder.recording


def _commands(config: DemoConfig) -> dict[str, list[str]]:
    """Command lines of the nodes, in the order of starting."""
    parameters: dict[str, dict[str, object]] = {
        "sim_robot": {"seed": config.seed},
        "policy_node": {"policy": config.policy, "use_sim_time": "true", "arm_on_activate": "true"},
    }
    return {
        name: [
            *(sys.executable, "-m", f"mobile_vla_ros.{name}", "--ros-args"),
            *(part for key, value in values.items() for part in ("-p", f"{key}:={value}")),
        ]
        for name, values in parameters.items()
    }


def _wait_until_up(recorder: Recorder, nodes: Sequence[NodeProcess]) -> None:
    """Return when pictures and odometry arrive and the policy node waits for an instruction."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        there = {
            "pictures from sim_robot": bool(recorder.recording.frames),
            "odometry from sim_robot": bool(recorder.recording.motions),
            "policy_node waiting for an instruction": recorder.status.startswith("waiting"),
            "policy_node's subscription of instructions": recorder.has_listener,
        }
        if all(there.values()):
            return
        if time.monotonic() > deadline:
            names = ", ".join(name for name, found in there.items() if not found)
            logs = "\n".join(f"the end of {node.log}:\n{node.last_lines()}" for node in nodes)
            raise DemoError(f"after {START_TIMEOUT:.0f} s still no {names}\n{logs}")
        for node in nodes:
            node.check()
        recorder.listen(PERIOD)


def _follow(
    task: Task,
    recorder: Recorder,
    nodes: Sequence[NodeProcess],
    scene: Scene,
    status: Status,
    console: Console,
) -> None:
    """Give one instruction and watch until it is judged; the result goes into the recording."""
    recording = recorder.recording
    start = recording.motions[-1]
    seen, touches = len(recording.motions), len(recording.touches)
    judge = Judge(task, scene, start, TIME_LIMIT)
    recorder.instruct(task.instruction)
    console.print(f"[bold]{escape(task.instruction)}[/bold]")
    run = None
    while run is None:
        _listen(recorder, nodes, PERIOD)
        touched = recording.touches[-1].text if len(recording.touches) > touches else None
        for motion in recording.motions[seen:]:
            run = judge.update(motion, touched)
            if run is not None:
                break
        seen = len(recording.motions)
        seconds = recording.motions[-1].stamp - start.stamp
        status.update(f"{recorder.status}, {seconds:.1f} s, {judge.distance:.2f} m")
    recording.runs.append(run)
    console.print(f"  {WORDS[run.outcome]} after {run.end - run.start:.1f} s")
    _listen(recorder, nodes, PAUSE)


def _listen(recorder: Recorder, nodes: Sequence[NodeProcess], seconds: float) -> None:
    """Take in messages.

    Raises:
        DemoError: a node has died, or the simulated robot is silent.
    """
    recorder.listen(seconds)
    for node in nodes:
        node.check()
    silence = time.monotonic() - recorder.heard
    if silence > SILENCE_TIMEOUT:
        raise DemoError(f"no odometry from sim_robot for {silence:.0f} s, though it still runs")
