"""Plots of driving, each as a PNG."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle

from mobile_vla_models.evaluation.plots import ACCENT, FILL, INK, PALE, WIDTH, panes, png

from ..sim.base import ROBOT_RADIUS
from ..sim.scene import Scene, SceneObject
from .closed_loop import ClosedLoop, Score
from .episode import EpisodeResult

FLOOR = "#f5f3ee"
ROOMS, COLUMNS = 12, 4  # that are drawn
LETTERS = 34  # of a sentence


def success_by_condition(loop: ClosedLoop) -> bytes:
    """Success of every score with its Wilson interval; the nominal rate as a line."""
    groups = ((loop.conditions, FILL), (loop.baselines, PALE))
    rows: list[tuple[Score, str]] = [(loop.policy, ACCENT)]
    rows += [(score, colour) for scores, colour in groups for score in scores]
    figure, (axes,) = panes(1, 2 * WIDTH, 0.9 + 0.28 * len(rows))
    for row, (score, colour) in enumerate(rows):
        share, (low, high) = score.success.share, score.success.interval
        axes.barh(row, share, color=colour, height=0.7)
        axes.errorbar(share, row, xerr=[[share - low], [high - share]], color=INK, linewidth=1.2, capsize=3)
    axes.axvline(loop.policy.success.share, color=ACCENT, linewidth=0.8, linestyle=":")
    names = [score.name for score, _ in rows]
    names[0] = f"nominal, {1000 * loop.policy.latency:.0f} ms"
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0.0, 1.0)
    axes.set(title=f"success over {len(loop.policy.results)} rooms, 95 % intervals", xlabel="share of rooms")
    return png(figure)


def driven_paths(loop: ClosedLoop) -> bytes:
    """Rooms from above with the way driven: failures first, the nominal ones before those under other conditions."""
    scores = (loop.policy, *loop.conditions)
    runs = [(score, room, result) for score in scores for room, result in enumerate(score.results)]
    failed = [run for run in runs if not run[2].reached]
    reached = [run for run in runs if run[2].reached]
    shown = (failed + reached)[:ROOMS]
    lines = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(2.5 * COLUMNS, 2.75 * lines), layout="constrained")
    panels = list(figure.subplots(lines, COLUMNS, squeeze=False).flat)
    for axes, (score, room, result) in zip(panels[: len(shown)], shown, strict=True):
        under = "" if score is loop.policy else f" ({score.name})"
        _draw_room(axes, loop.scenes[room], result, f"{room}{under}")
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    return png(figure)


def _draw_room(axes: Axes, scene: Scene, result: EpisodeResult, run: str) -> None:
    half_x, half_y = scene.size[0] / 2.0, scene.size[1] / 2.0
    axes.add_patch(Rectangle((-half_x, -half_y), *scene.size, facecolor=FLOOR, edgecolor=INK, linewidth=1.5))
    for item in scene.objects:
        _draw_object(axes, item, is_target=item.name == result.target)
    x, y = zip(*result.path, strict=True)
    axes.plot(x, y, color=INK, linewidth=1.6, zorder=4)
    _draw_start(axes, scene)
    end = FILL if result.reached else ACCENT
    axes.add_patch(Circle((x[-1], y[-1]), ROBOT_RADIUS, facecolor=end, edgecolor=INK, alpha=0.7, zorder=5))
    axes.set_xlim(-half_x - 0.1, half_x + 0.1)
    axes.set_ylim(-half_y - 0.1, half_y + 0.1)
    axes.set_aspect("equal")
    axes.axis("off")
    outcome = result.outcome.value.replace("_", " ") + (f", {result.touched}" if result.touched else "")
    axes.set_title(
        f"{run}: {_short(result.instruction)}\n{outcome}", fontsize=7.5, color=INK if result.reached else end
    )


def _draw_object(axes: Axes, item: SceneObject, is_target: bool) -> None:
    shape: Circle | Polygon
    if item.shape == "box":
        corners = [item.yaw + math.pi / 4.0 + number * math.pi / 2.0 for number in range(4)]
        points = [(item.x + item.radius * math.cos(a), item.y + item.radius * math.sin(a)) for a in corners]
        shape = Polygon(points, facecolor=item.rgb, edgecolor=INK, linewidth=0.8, zorder=3)
    else:
        shape = Circle((item.x, item.y), item.radius, facecolor=item.rgb, edgecolor=INK, linewidth=0.8, zorder=3)
    axes.add_patch(shape)
    # What tells a cone from a ball or a cylinder from above.
    below = item.y - item.radius - (0.18 if is_target else 0.06)
    axes.text(item.x, below, item.shape, fontsize=5.5, ha="center", va="top", zorder=6)
    if is_target:
        ring = Circle((item.x, item.y), item.radius + 0.12, fill=False, edgecolor=INK, linestyle=":", linewidth=1.2)
        axes.add_patch(ring)


def _draw_start(axes: Axes, scene: Scene) -> None:
    pose = scene.start_pose
    axes.add_patch(Circle((pose.x, pose.y), ROBOT_RADIUS, fill=False, edgecolor=INK, linewidth=0.9, zorder=5))
    nose = (pose.x + 1.8 * ROBOT_RADIUS * math.cos(pose.yaw), pose.y + 1.8 * ROBOT_RADIUS * math.sin(pose.yaw))
    axes.plot((pose.x, nose[0]), (pose.y, nose[1]), color=INK, linewidth=0.9, zorder=5)


def _short(text: str) -> str:
    # A dollar sign would begin a formula.
    return (text if len(text) <= LETTERS else text[: LETTERS - 3] + "...").replace("$", r"\$")
