"""The room from above with the path of each instruction, as a plot."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle

from ..sim.base import ROBOT_RADIUS, Pose2D
from ..sim.scene import Scene, SceneObject
from .recording import Recording

INK = "#22272e"
FLOOR = "#f5f3ee"
COLORS = ("#00a5b5", "#d6277b", "#5a6b00", "#7a4b2a", "#444c9b")  # of the instructions


def plot_path(recording: Recording, scene: Scene, file: Path) -> None:
    """Write the plot as a PNG."""
    matplotlib.rcParams["font.size"] = 11
    figure = Figure(figsize=(8.0, 8.6), layout="constrained")
    axes = figure.add_subplot()
    half_x, half_y = scene.size[0] / 2.0, scene.size[1] / 2.0
    axes.add_patch(Rectangle((-half_x, -half_y), *scene.size, facecolor=FLOOR, edgecolor=INK, linewidth=2.5))
    for item in scene.objects:
        _draw_object(axes, item)
    if recording.motions:
        _draw_start(axes, recording.motions[0].pose)
    for number, run in enumerate(recording.runs):
        poses = [motion.pose for motion in recording.motions if run.start <= motion.stamp <= run.end]
        label = f"{number + 1}. {run.task.instruction}: {run.outcome.value.replace('_', ' ')}"
        color = COLORS[number % len(COLORS)]
        x, y = [pose.x for pose in poses], [pose.y for pose in poses]
        axes.plot(x, y, color=color, linewidth=3.0, label=label, zorder=4)
        _draw_robot(axes, poses[-1], color)
    axes.set_xlim(-half_x - 0.1, half_x + 0.1)
    axes.set_ylim(-half_y - 0.1, half_y + 0.1)
    axes.set_aspect("equal")
    axes.set_xlabel("x (m)")
    axes.set_ylabel("y (m)")
    if recording.runs:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.01), frameon=False)
    figure.savefig(file, dpi=110, bbox_inches="tight")


def _draw_object(axes: Axes, item: SceneObject) -> None:
    shape: Circle | Polygon
    if item.shape == "box":
        corners = [item.yaw + math.pi / 4.0 + number * math.pi / 2.0 for number in range(4)]
        points = [(item.x + item.radius * math.cos(a), item.y + item.radius * math.sin(a)) for a in corners]
        shape = Polygon(points, facecolor=item.rgb, edgecolor=INK, zorder=3)
    else:
        shape = Circle((item.x, item.y), item.radius, facecolor=item.rgb, edgecolor=INK, zorder=3)
    axes.add_patch(shape)
    axes.annotate(
        item.name,
        (item.x, item.y + item.radius),
        (0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        zorder=6,
        bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.0},
    )


def _draw_start(axes: Axes, pose: Pose2D) -> None:
    _draw_robot(axes, pose, INK)
    left = pose.yaw + math.pi / 2.0  # of the arrow, so that neither it nor the path is written over
    place = (pose.x + 2.0 * ROBOT_RADIUS * math.cos(left), pose.y + 2.0 * ROBOT_RADIUS * math.sin(left))
    axes.text(*place, "start", ha="center", va="center", zorder=6)


def _draw_robot(axes: Axes, pose: Pose2D, color: str) -> None:
    """Its footprint, and an arrow that shows where it looks."""
    axes.add_patch(Circle((pose.x, pose.y), ROBOT_RADIUS, facecolor=color, alpha=0.4, edgecolor=INK, zorder=5))
    ahead = (
        pose.x + 2.0 * ROBOT_RADIUS * math.cos(pose.yaw),
        pose.y + 2.0 * ROBOT_RADIUS * math.sin(pose.yaw),
    )
    axes.annotate(
        "",
        ahead,
        (pose.x, pose.y),
        arrowprops={"color": color, "arrowstyle": "-|>", "linewidth": 2.5},
        zorder=6,
    )
