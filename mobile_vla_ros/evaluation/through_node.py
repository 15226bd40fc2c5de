"""The rooms of the closed-loop evaluation once more, driven by policy_node: its lifecycle, its clocks and DDS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mobile_vla_models import PolicyDirectoryError
from mobile_vla_models.policy_directory import read_config
from mobile_vla_models.policy_entries import CONFIG

from ..bringup.errors import BringUpError
from ..drivable import base_limits
from ..sim.task import episode_rng
from .closed_loop import DEFAULT_LATENCY, sample_series
from .conditions import NOMINAL
from .node_series import NODE, NODE_CONDITIONS, NodeRun, NodeSeries, Transport
from .series import Opening

ETA_OVER = 300.0  # s of runs by which the time that is left is told


@dataclass(frozen=True)
class NodeDriving:
    """What to drive through the node.

    Attributes:
        episodes: rooms, one task each.
        conditions: names of NODE_CONDITIONS; the nominal one is always driven.
    """

    episodes: int
    conditions: tuple[str, ...] = tuple(NODE_CONDITIONS)


def evaluate_through_node(opening: Opening, driving: NodeDriving, seed: int) -> tuple[NodeSeries, ...]:
    """Drive every room with one policy_node, in real time; the nominal series first.

    Rooms and tasks are those of `closed_loop.evaluate` with the same seed.

    Raises:
        PolicyDirectoryError: the policy cannot be read, or drives something else than a wheeled base.
        ValueError: fewer than 2 episodes.
        NodeLinkError: the node does not come up, refuses, or falls silent.
        BringUpError: it has ended.
    """
    # Here and not above: everything else of an evaluation works where there is no ROS.
    from .node_link import open_link
    from .node_run import run_through_node

    rooms = sample_series(driving.episodes, seed)
    try:
        limits = base_limits(read_config(opening.directory / CONFIG))
    except ValueError as error:
        raise PolicyDirectoryError(f"{opening.directory} cannot drive the simulated robot: {error}") from error
    names = tuple(dict.fromkeys((NOMINAL, *driving.conditions)))
    console, done = Console(), list[NodeSeries]()
    try:
        with console.status("starting policy_node") as status, open_link(opening) as link:
            status.stop()
            with _progress(console) as progress:
                bars = [
                    progress.add_task(f"{NODE}, {name}", start=False, total=len(rooms), reached=0) for name in names
                ]
                for name, bar in zip(names, bars, strict=True):
                    progress.start_task(bar)
                    sent, before, longest = link.sent, link.count_frames(), NODE_CONDITIONS[name]
                    runs: list[NodeRun] = []
                    for number, (scene, task) in enumerate(rooms):
                        hold = partial(episode_rng("held back", seed, number).uniform, 0.0, longest)
                        runs.append(run_through_node(link, limits, scene, task, hold, DEFAULT_LATENCY + longest))
                        progress.update(bar, advance=1, reached=sum(run.result.reached for run in runs))
                    after = link.count_frames()
                    transport = Transport(
                        link.sent - sent,
                        after.received - before.received,
                        after.refused - before.refused,
                        after.replaced - before.replaced,
                    )
                    done.append(NodeSeries(name, tuple(runs), transport))
    except BringUpError as error:
        if len(done) < len(names):
            raise
        # What was measured is not lost with a process that is slow to end.
        console.print(f"[yellow]{escape(str(error))}[/yellow]", highlight=False, soft_wrap=True)
    return tuple(done)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[reached]} reached"),
        console=console,
        speed_estimate_period=ETA_OVER,
    )
