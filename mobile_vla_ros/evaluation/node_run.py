"""One closed-loop run in real time: a simulated room on one side, policy_node on the other, DDS between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..control import DriveState, Limits
from ..control.controller import STOPPED_BY
from ..faults.bounds import Command
from ..sim.pilot import CONTROL_HZ
from ..sim.scene import Scene
from ..sim.task import Task
from ..sim.world import PHYSICS_PERIOD, World
from .episode import FRAME_TICKS, Referee
from .node_link import Joined, NodeLink, NodeLinkError, Status
from .node_series import NodeRun, Pace
from .steps import look_at_steps

FRAME_PERIOD = FRAME_TICKS / CONTROL_HZ  # s
LOOK_PERIOD = 1.0 / CONTROL_HZ  # s of simulated time between two looks of the referee
LEAD = 0.5  # s of frames before the instruction: the first has come by then, also if it was held back
TAKEN_UP = 5.0  # s within which the node must say that it follows the instruction
LATE_FRAME = 0.05  # s
GIVE_UP = 0.2  # s behind real time from which on the simulation does not catch up


class _Frame(NamedTuple):
    """A picture on its way.

    Attributes:
        due: s, steady clock, when it is to be published.
        stamp: s, system clock.
        rgb: uint8 (h, w, 3).
    """

    due: float
    stamp: float
    rgb: NDArray[np.uint8]


class RealTimeRoom:
    """A room that runs in real time, and whose camera publishes.

    Args:
        world: at its start.
        link: to the node.
        hold: s for which the next frame is held back; frames keep their order.
    """

    def __init__(self, world: World, link: NodeLink, hold: Callable[[], float]) -> None:
        self._world, self._link, self._hold = world, link, hold
        self._begin = time.monotonic()  # when simulated time would have been 0
        self._epoch = time.time() - self._begin  # s from the steady to the system clock, by which frames are stamped
        self._frame_due = 0.0  # s, simulated
        self._held: deque[_Frame] = deque()
        self._frames = self._late = 0
        self._counted_from = self._begin, 0.0  # s, steady and simulated

    def ticks(self) -> Iterator[None]:
        """Advance by a step of physics with each, as real time does."""
        world = self._world
        while True:
            behind = time.monotonic() - self._begin - world.time
            if behind > GIVE_UP:
                self._begin += behind
            if world.time >= self._frame_due - 1e-9:
                self._frame_due += FRAME_PERIOD
                self._expose()
            self._publish_due()
            if behind < PHYSICS_PERIOD:
                time.sleep(PHYSICS_PERIOD - behind)
                continue
            world.step(PHYSICS_PERIOD)
            yield

    def count_anew(self) -> None:
        """Count frames and time from now on."""
        self._frames = self._late = 0
        self._counted_from = time.monotonic(), self._world.time

    def pace(self) -> Pace:
        """Since counting began."""
        steady, simulated = self._counted_from
        return Pace(time.monotonic() - steady, self._world.time - simulated, self._frames, self._late)

    def _expose(self) -> None:
        exposed = self._begin + self._world.time
        due = exposed + self._hold()
        if self._held:
            due = max(due, self._held[-1].due)
        self._held.append(_Frame(due, self._epoch + exposed, self._world.render()))

    def _publish_due(self) -> None:
        while self._held and self._held[0].due <= time.monotonic():
            frame = self._held.popleft()
            self._frames += 1
            self._late += time.monotonic() - frame.due > LATE_FRAME
            self._link.show(frame.rgb, frame.stamp)


def run_through_node(
    link: NodeLink, limits: Limits, scene: Scene, task: Task, hold: Callable[[], float], latency: float
) -> NodeRun:
    """Drive one run; the node is disarmed before and after.

    Args:
        link: to the node.
        limits: of the policy.
        scene: the room; the run begins at its start pose.
        task: by which the run is judged, and whose sentence is the instruction.
        hold: s for which the next frame is held back.
        latency: s from a frame to its plan that are usual: so long what the policy says may be under way.

    Raises:
        NodeLinkError: the node refuses, or is silent.
        BringUpError: it has ended.
    """
    commands: list[Command] = []
    said: list[Status] = []
    joined: list[Joined] = []
    with closing(World(scene)) as world:
        link.arm()
        room = RealTimeRoom(world, link, hold)
        ticks = room.ticks()
        for _ in ticks:
            if world.time >= LEAD - 1e-9:
                break
        # The last command of before is that from which the first step is made.
        commands += [heard for heard in link.take() if isinstance(heard, Command)][-1:]
        referee = Referee(world, task, task.instruction, latency)
        room.count_anew()
        begin, look_due = time.monotonic(), world.time + LOOK_PERIOD
        link.instruct(task.instruction)
        result = None
        for _ in ticks:
            for heard in link.take():
                if isinstance(heard, Command):
                    commands.append(heard)
                    world.command(heard.linear_x, heard.angular_z)
                elif isinstance(heard, Joined):
                    joined.append(heard)
                else:
                    said.append(heard)
                    if heard.tells(DriveState.DONE):
                        referee.say_done()
            if world.touched is None and world.time < look_due - 1e-9:
                continue
            look_due = world.time + LOOK_PERIOD
            result = referee.look()
            if result is not None:
                break
            link.check()
            taken_up = link.followed == task.instruction or STOPPED_BY in link.status.text
            if not taken_up and time.monotonic() - begin > TAKEN_UP:
                raise NodeLinkError(f"policy_node has not taken up {task.instruction!r}: it says {link.status.text!r}")
        pace = room.pace()
        link.rest()
    assert result is not None
    texts = [(status.received, status.text) for status in said]
    steps = look_at_steps(commands, texts, {one.sent for one in joined}, limits)
    return NodeRun(result, steps, pace, tuple(one.latency for one in joined))
