"""One closed-loop run in simulated time, with the control core and the policy called as the node calls them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from ..control import ControllerConfig, DriveController, Limits, PolicyStepper
from ..control.plan import ActionPlan
from ..control.stepper import Policy
from ..sim.scene import Scene
from ..sim.task import Outcome, Task, TaskMonitor, at_object
from ..sim.world import World

CONTROL_HZ = 20.0
FRAME_TICKS = 2  # control ticks per camera frame: 10 Hz


@dataclass(frozen=True)
class EpisodeResult:
    """How a run ended.

    Attributes:
        kind: of the task, "go_to", "turn_left"...
        instruction: the sentence that the policy was given.
        target: the object that the task means, if any.
        outcome: reached, wrong object, collision or time-out, judged by the true task.
        at: names of the objects that the robot stood at in the end.
        touched: what it ran into, if it did.
        seconds: simulated.
    """

    kind: str
    instruction: str
    target: str | None
    outcome: Outcome
    at: tuple[str, ...]
    touched: str | None
    seconds: float


def run_episode(
    policy: Policy,
    dt: float,
    limits: Limits,
    scene: Scene,
    task: Task,
    instruction: str,
    latency: float,
    time_limit: float = 30.0,
) -> EpisodeResult:
    """Drive one run.

    Args:
        policy: its history is reset.
        dt: s, the policy's recurrent step.
        limits: the policy's motion limits.
        scene: the room; the run begins at its start pose.
        task: by which the run is judged.
        instruction: what the policy is told; the task's own sentence, but for the shuffled baseline.
        latency: s from a frame to its plan; a whole number of control ticks below dt.
        time_limit: s.

    Raises:
        ValueError: a latency that the loop cannot keep.
    """
    period = 1.0 / CONTROL_HZ
    delay = round(latency / period)
    if abs(delay * period - latency) > 1e-9 or not 0.0 <= latency < dt:
        raise ValueError(f"latency {latency} s must be a multiple of {period} s below the policy's dt {dt} s")
    controller = DriveController(limits, ControllerConfig(dt=dt, control_hz=CONTROL_HZ))
    stepper = PolicyStepper(policy, dt)
    policy.reset()
    pending: list[tuple[int, ActionPlan]] = []
    with closing(World(scene)) as world:
        monitor = TaskMonitor(task, scene, world.pose, 0.0, time_limit)
        number = controller.set_instruction(instruction, 0.0, 0.0)
        tick = 0
        while True:
            now = tick * period
            if tick % FRAME_TICKS == 0 and controller.on_frame(now, now, now):
                pending.append((tick + delay, stepper.step(world.render(), now, instruction, number)))
            while pending and pending[0][0] <= tick:
                controller.accept(pending.pop(0)[1], now, now)
            command = controller.command(now, now)
            world.command(command.linear_x, command.angular_z)
            world.step(period)
            tick += 1
            outcome = monitor.update(tick * period, world.pose, world.velocity, world.touched)
            if outcome is not None:
                at = tuple(item.name for item in scene.objects if at_object(world.pose, item))
                return EpisodeResult(
                    task.kind.value,
                    instruction,
                    task.target,
                    outcome,
                    at,
                    world.touched,
                    round(tick * period, 2),
                )
