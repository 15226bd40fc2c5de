"""Tasks in words, how they are drawn, and the judge that says how a run ended."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType

import numpy as np

from .base import ROBOT_RADIUS, Pose2D, Velocity, wrap_angle
from .scene import Scene, SceneObject, sample_scene

GO_TO_SHARE, TURN_SHARE = 0.80, 0.16  # of the tasks; the rest says stop
LOOK_ALIKE_SHARE = 0.6  # of the next targets, where the scene has a look-alike of the last one

REACHED_GAP = 0.6  # m, edge to edge
REACHED_BEARING = math.radians(45)
TURN_ANGLE, TURN_TOLERANCE = math.radians(90), math.radians(30)
STILL_LINEAR, STILL_ANGULAR = 0.05, 0.1  # m/s, rad/s: slower counts as standing
STILL_TIME = 1.0  # s to stand for a task to be over
STOP_TIME = 3.0  # s to stand when told to stop
STRAY_DISTANCE = 0.3  # m a robot may travel in a task that is not about travelling
VISIBLE_WIDTH = math.radians(3)  # least width of a target that is not hidden


class TaskKind(str, Enum):
    """What is asked for."""

    GO_TO = "go_to"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    STOP = "stop"


PHRASES: Mapping[TaskKind, tuple[str, ...]] = MappingProxyType(
    {
        TaskKind.GO_TO: (
            "go to the {target}",
            "drive to the {target}",
            "approach the {target}",
            "move to the {target}",
            "head to the {target}",
            "go up to the {target}",
            "drive up to the {target}",
            "find the {target}",
            "please go to the {target}",
            "please drive to the {target}",
            "go towards the {target}",
            "drive towards the {target}",
            "move up to the {target}",
            "drive over to the {target}",
            "roll to the {target}",
            "get to the {target}",
            "come to the {target}",
            "go and find the {target}",
            "look for the {target} and drive to it",
            "drive to the {target} and stop there",
            "please find the {target}",
            "please move to the {target}",
            "now go to the {target}",
            "can you drive to the {target}",
            "i want you to go to the {target}",
            "your goal is the {target}",
        ),
        TaskKind.TURN_LEFT: (
            "turn left",
            "rotate left",
            "turn to the left",
            "make a left turn",
            "please turn left",
            "now turn left",
            "can you turn to the left",
            "i want you to rotate left",
        ),
        TaskKind.TURN_RIGHT: (
            "turn right",
            "rotate right",
            "turn to the right",
            "make a right turn",
            "please turn right",
            "now turn right",
            "can you turn to the right",
            "i want you to rotate right",
        ),
        TaskKind.STOP: (
            "stop",
            "halt",
            "stay where you are",
            "stand still",
            "please stop",
            "now stand still",
            "can you stop",
            "i want you to stay where you are",
        ),
    }
)
# No recording and no view holds these: they are for evaluation.
UNSEEN_PHRASES: Mapping[TaskKind, tuple[str, ...]] = MappingProxyType(
    {
        TaskKind.GO_TO: (
            "travel to the {target}",
            "navigate to the {target}",
            "head towards the {target}",
            "make your way to the {target}",
            "go over to the {target}",
            "please approach the {target}",
            "could you go to the {target}",
            "go to the {target} now",
            "drive straight to the {target}",
            "the {target} please",
        ),
        TaskKind.TURN_LEFT: ("rotate to the left", "please rotate left", "turn left now", "could you turn left"),
        TaskKind.TURN_RIGHT: ("rotate to the right", "please rotate right", "turn right now", "could you turn right"),
        TaskKind.STOP: ("please halt", "stop now", "please stand still", "could you stop"),
    }
)
_CONSONANTS = tuple("bcdfghjklmnprstvwz")
_VOWELS = ("a", "e", "i", "o", "u", "ea", "ou", "ai")
_ENDS = ("", "", "", "n", "r", "s", "l", "t", "ck", "gh")
_MADE_UP = 300  # of each kind
_CORES: Mapping[TaskKind, tuple[str, ...]] = MappingProxyType(
    {
        TaskKind.GO_TO: ("the {target}", "to the {target}", "up to the {target}", "towards the {target}"),
        TaskKind.TURN_LEFT: ("turn left", "rotate left", "to the left"),
        TaskKind.TURN_RIGHT: ("turn right", "rotate right", "to the right"),
        TaskKind.STOP: ("stop", "halt", "stand still"),
    }
)


@dataclass(frozen=True)
class Task:
    """One instruction and what it means.

    Attributes:
        kind: what is asked for.
        instruction: the sentence.
        target: name of the object to go to ("red box"); None for the other kinds.
    """

    kind: TaskKind
    instruction: str
    target: str | None = None

    def __post_init__(self) -> None:
        """Refuse a go_to without a target, and a target without go_to."""
        if (self.kind is TaskKind.GO_TO) != (self.target is not None):
            raise ValueError(f"task {self.kind.value} with target {self.target!r}: only go_to has one, and needs it")


class Outcome(str, Enum):
    """How a run ended."""

    REACHED = "reached"
    WRONG_OBJECT = "wrong_object"
    COLLISION = "collision"
    TIME_OUT = "time_out"


def sentences(kind: TaskKind, target: str | None = None, *, unseen: bool = False) -> tuple[str, ...]:
    """Every way to say it, of the recorded ones or of the others; `target` is an object's name, for go_to only."""
    phrases = UNSEEN_PHRASES if unseen else PHRASES
    return tuple(phrase.format(target=target) for phrase in phrases[kind])


@cache
def made_up(kind: TaskKind) -> tuple[str, ...]:
    """Sentences in which what matters stands among words that mean nothing, `{target}` in the place of a name.

    People say more than any list holds. A policy that has read such words goes by the others.
    """
    rng = episode_rng("made-up words", 0, list(TaskKind).index(kind))
    found = []
    for _ in range(_MADE_UP):
        before, behind = int(rng.integers(1, 3)), int(rng.integers(0, 2))
        words = [_word(rng) for _ in range(before)], [_word(rng) for _ in range(behind)]
        found.append(" ".join([*words[0], _choice(rng, _CORES[kind]), *words[1]]))
    return tuple(found)


def sample_sentence(rng: np.random.Generator, kind: TaskKind, target: str | None, made_up_share: float) -> str:
    """A way to say it; a share of them among words that mean nothing."""
    if made_up_share and rng.random() < made_up_share:
        return _choice(rng, made_up(kind)).format(target=target)
    return _choice(rng, sentences(kind, target))


def sample_task(
    rng: np.random.Generator, scene: Scene, pose: Pose2D, previous: str | None = None, made_up_share: float = 0.0
) -> Task:
    """Draw a task that makes sense from `pose`.

    A target is not reached yet and not fully hidden behind other objects (it may be behind the robot's
    back). Where no object qualifies, the task is a turn. After a run to the object named `previous`, the next
    target is often its look-alike.
    """
    kind = _sample_kind(rng)
    if kind is TaskKind.GO_TO:
        eligible = [item for item in scene.objects if _eligible(scene, pose, item)]
        if eligible:
            target = _sample_target(rng, eligible, previous)
            return Task(kind, sample_sentence(rng, kind, target, made_up_share), target)
        kind = TaskKind.TURN_LEFT if rng.random() < 0.5 else TaskKind.TURN_RIGHT
    return Task(kind, sample_sentence(rng, kind, None, made_up_share))


def sample_episode(purpose: str, seed: int, index: int) -> tuple[Scene, Task]:
    """Scene and task number `index` of a series; series of another purpose or seed share no random stream."""
    rng = episode_rng(purpose, seed, index)
    scene = sample_scene(rng)
    return scene, sample_task(rng, scene, scene.start_pose)


def episode_rng(purpose: str, seed: int, index: int) -> np.random.Generator:
    """The generator from which episode `index` of a series is drawn."""
    return np.random.default_rng(np.random.SeedSequence((zlib.crc32(purpose.encode()), seed, index)))


def edge_gap(pose: Pose2D, item: SceneObject) -> float:
    """Metres between the robot's rim and the object's."""
    return math.hypot(item.x - pose.x, item.y - pose.y) - item.radius - ROBOT_RADIUS


def bearing(pose: Pose2D, item: SceneObject) -> float:
    """Direction of the object from the robot's heading (rad, left positive, in (-pi, pi])."""
    return wrap_angle(math.atan2(item.y - pose.y, item.x - pose.x) - pose.yaw)


def visible_width(scene: Scene, pose: Pose2D, item: SceneObject) -> float:
    """Width (rad) of the widest part of the object that no nearer one hides from the place of `pose`."""
    middle, half = _span(pose, item)
    free = [(-half, half)]
    for other in scene.objects:
        if other is item or edge_gap(pose, other) > edge_gap(pose, item):
            continue
        direction, other_half = _span(pose, other)
        center = wrap_angle(direction - middle)
        low, high = center - other_half, center + other_half
        parts = [part for left, right in free for part in ((left, min(right, low)), (max(left, high), right))]
        free = [(left, right) for left, right in parts if right > left]
    return max((right - left for left, right in free), default=0.0)


class TaskMonitor:
    """Watches a run and says when and how it ended.

    - go_to: standing still for 1 s with an edge gap of at most 0.6 m to an object, and facing it within 45
      degrees: REACHED if it is the target, WRONG_OBJECT if it is another. Standing elsewhere ends nothing.
    - turn: standing still for 1 s, the heading changed by 90 +- 30 degrees the right way, less than 0.3 m
      travelled: REACHED.
    - stop: standing still for 3 s with less than 0.3 m travelled in all: REACHED.
    - any contact: COLLISION. Nothing of it within the time limit: TIME_OUT.
    """

    def __init__(
        self, task: Task, scene: Scene, start_pose: Pose2D, start_time: float, time_limit: float = 30.0
    ) -> None:
        self._task = task
        self._scene = scene
        self._pose = start_pose
        self._deadline = start_time + time_limit
        self._still_since: float | None = None
        self._travelled = 0.0
        self._turned = 0.0

    def update(self, time: float, pose: Pose2D, velocity: Velocity, touched: str | None) -> Outcome | None:
        """Take the state at `time` (s); the outcome, or None while the run goes on.

        Args:
            time: s, not decreasing.
            pose: true pose, at least every 0.1 s so that turning is counted right.
            velocity: true speed.
            touched: what the robot touches, None if nothing.
        """
        self._travelled += math.hypot(pose.x - self._pose.x, pose.y - self._pose.y)
        self._turned += wrap_angle(pose.yaw - self._pose.yaw)
        self._pose = pose
        if not is_still(velocity):
            self._still_since = None
        elif self._still_since is None:
            self._still_since = time
        if touched is not None:
            return Outcome.COLLISION
        if self._still_since is not None:
            outcome = self._judge(time - self._still_since + 1e-9)
            if outcome is not None:
                return outcome
        return Outcome.TIME_OUT if time >= self._deadline else None

    def _judge(self, stood: float) -> Outcome | None:
        if self._task.kind is TaskKind.STOP:
            return Outcome.REACHED if stood >= STOP_TIME and self._travelled < STRAY_DISTANCE else None
        if stood < STILL_TIME:
            return None
        if self._task.kind is TaskKind.GO_TO:
            near = {item.name for item in self._scene.objects if at_object(self._pose, item)}
            if not near:
                return None
            return Outcome.REACHED if self._task.target in near else Outcome.WRONG_OBJECT
        turned = self._turned if self._task.kind is TaskKind.TURN_LEFT else -self._turned
        right_angle = abs(turned - TURN_ANGLE) <= TURN_TOLERANCE
        return Outcome.REACHED if right_angle and self._travelled < STRAY_DISTANCE else None


def is_still(velocity: Velocity) -> bool:
    """Slow enough to count as standing."""
    return abs(velocity.linear_x) < STILL_LINEAR and abs(velocity.angular_z) < STILL_ANGULAR


def at_object(pose: Pose2D, item: SceneObject) -> bool:
    """True if a robot that stands at `pose` has reached the object: near its edge and facing it."""
    return edge_gap(pose, item) <= REACHED_GAP and abs(bearing(pose, item)) <= REACHED_BEARING


def _sample_kind(rng: np.random.Generator) -> TaskKind:
    draw = rng.random()
    if draw < GO_TO_SHARE:
        return TaskKind.GO_TO
    if draw < GO_TO_SHARE + TURN_SHARE:
        return TaskKind.TURN_LEFT if draw < GO_TO_SHARE + TURN_SHARE / 2 else TaskKind.TURN_RIGHT
    return TaskKind.STOP


def _eligible(scene: Scene, pose: Pose2D, item: SceneObject) -> bool:
    return not at_object(pose, item) and visible_width(scene, pose, item) >= VISIBLE_WIDTH


def _sample_target(rng: np.random.Generator, eligible: list[SceneObject], previous: str | None) -> str:
    names = [item.name for item in eligible if item.name != previous] or [item.name for item in eligible]
    if previous is not None and rng.random() < LOOK_ALIKE_SHARE:
        color, shape = previous.split()
        names = [name for name in names if name.split()[0] == color or name.split()[1] == shape] or names
    return _choice(rng, tuple(names))


def _choice(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _word(rng: np.random.Generator) -> str:
    """One or two syllables of no language."""
    return "".join(
        f"{_choice(rng, _CONSONANTS)}{_choice(rng, _VOWELS)}{_choice(rng, _ENDS)}"
        for _ in range(int(rng.integers(1, 3)))
    )


def _span(pose: Pose2D, item: SceneObject) -> tuple[float, float]:
    """Direction of the object's middle in the room frame, and half the angle its footprint takes up (rad)."""
    distance = math.hypot(item.x - pose.x, item.y - pose.y)
    half = math.asin(min(1.0, item.radius / max(distance, 1e-9)))
    return math.atan2(item.y - pose.y, item.x - pose.x), half
