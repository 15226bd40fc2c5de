"""`mobile-vla evaluate`: how well a policy drives and answers, beside its baselines, or two against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..share import SHIPPED_POLICY, share_path
from .options import EngineName, end_by_signals

if TYPE_CHECKING:
    from ..evaluation.evaluation import Driving, Evaluation
    from ..evaluation.through_node import NodeDriving

OF_DRIVING = ("episodes", "condition")
OF_DRIVING_IN_PROCESS = ("swap_pairs", "latency", "workers")


def evaluate(
    context: typer.Context,
    policy: Annotated[Path | None, typer.Argument(help="policy directory; the shipped one if not given")] = None,
    *,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="instead: two policy directories, over the same rooms and episodes")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="configuration of a source of held-out episodes, to answer them frame by frame")
    ] = None,
    sim: Annotated[bool, typer.Option("--sim", help="drive the simulated robot, in this process")] = False,
    node: Annotated[
        bool, typer.Option("--node", help="drive it through policy_node, over DDS, in real time: the same rooms")
    ] = False,
    episodes: Annotated[int, typer.Option(min=2, help="held-out rooms, one task each")] = 100,
    swap_pairs: Annotated[int, typer.Option(min=0, help="starts that are driven twice, with the words swapped")] = 30,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="repeatable: what to drive under beside the nominal condition; all if not given. "
            "With --node: 'random latency', frames held back by up to 300 ms"
        ),
    ] = None,
    latency: Annotated[float, typer.Option(min=0.0, help="s from a frame to its plan, in process")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="of rooms, other words and intervals")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="processes that drive; results do not depend on it")] = 1,
    engine: EngineName = "torch",
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
    html: Annotated[Path | None, typer.Option(help="also write a report with plots here")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write every result here")] = None,
    card: Annotated[bool, typer.Option("--card", help="also write the tables into the policy's model card")] = False,
) -> None:
    """Drive a policy in closed loop over held-out rooms, and let it answer held-out episodes; baselines beside both."""
    if not sim and not node and data is None:
        raise typer.BadParameter(
            "say --sim to drive, --node to drive through the node, --data to answer recorded episodes, or several"
        )
    if compare is not None and (policy is not None or card):
        raise typer.BadParameter("--compare takes both policies, and writes no card")
    if compare is not None and node:
        raise typer.BadParameter("--node drives one policy: not with --compare")
    if not sim:
        _refuse_given(context, OF_DRIVING_IN_PROCESS, "--sim")
    if not sim and not node:
        _refuse_given(context, OF_DRIVING, "--sim or --node")
    from mobile_vla_models.data.configuration import read_source_config
    from mobile_vla_models.evaluation.held_out import read_held_out

    from ..evaluation.conditions import CONDITIONS
    from ..evaluation.evaluation import Driving, evaluate_policy
    from ..evaluation.node_series import NODE_CONDITIONS
    from ..evaluation.series import Opening
    from ..evaluation.through_node import NodeDriving
    from ..sim.pilot import control_ticks

    # Hours of driving are not to end in a folder that is not there, or without what draws plots.
    if html is not None:
        import matplotlib  # noqa: F401
    missing = [path.parent for path in (html, json_file) if path is not None and not path.parent.is_dir()]
    if missing:
        raise typer.BadParameter(f"{missing[0]} is no folder")
    try:
        control_ticks(latency)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--latency") from error
    possible = {**(CONDITIONS if sim else {}), **(NODE_CONDITIONS if node else {})}
    chosen = tuple(possible) if condition is None else tuple(condition)
    for name in chosen:
        if name not in possible:
            elsewhere = "--sim" if name in CONDITIONS else "--node" if name in NODE_CONDITIONS else ""
            reason = f"needs {elsewhere}" if elsewhere else f"expected one of {', '.join(possible)}"
            raise typer.BadParameter(f"{name!r}, {reason}", param_hint="--condition")
    policies = compare if compare is not None else (policy if policy is not None else share_path(SHIPPED_POLICY),)
    held_out = None if data is None else read_held_out(read_source_config(data), policies)
    driving = through_node = None
    if sim:
        conditions = tuple(name for name in chosen if name in CONDITIONS)
        driving = Driving(episodes, swap_pairs, conditions, latency, workers)
    if node:
        try:
            import rclpy  # noqa: F401
        except ModuleNotFoundError as error:
            raise typer.BadParameter("--node needs ROS 2: source its setup.bash") from error
        end_by_signals()
        through_node = NodeDriving(episodes, tuple(name for name in chosen if name in NODE_CONDITIONS))
    console = Console()
    if compare is not None:
        first, second = (
            evaluate_policy(Opening(path, engine, device, seed), seed, held_out, driving) for path in compare
        )
        _report_comparison(first, second, console, html, json_file)
        return
    evaluation = evaluate_policy(Opening(policies[0], engine, device, seed), seed, held_out, driving, through_node)
    _report(evaluation, console, html, json_file)
    if card:
        from ..evaluation.card import write_card

        write_card(evaluation, _command(data, driving, through_node, condition, seed, engine))


def _refuse_given(context: typer.Context, names: Sequence[str], needs: str) -> None:
    """Refuse options that would do nothing."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"it needs {needs}", param_hint=f"--{name.replace('_', '-')}")


def _report(evaluation: Evaluation, console: Console, html: Path | None, json_file: Path | None) -> None:
    from mobile_vla_models.documents import write_json

    from ..evaluation.page import write_page
    from ..evaluation.terminal import print_evaluation

    print_evaluation(evaluation, console)
    if html is not None:
        write_page(evaluation, html)
    if json_file is not None:
        write_json(json_file, evaluation.to_dict())


def _report_comparison(
    first: Evaluation, second: Evaluation, console: Console, html: Path | None, json_file: Path | None
) -> None:
    from mobile_vla_models.documents import write_json
    from mobile_vla_models.evaluation.compare import compare_episodes

    from ..evaluation.compare import compare_loops
    from ..evaluation.page import write_comparison
    from ..evaluation.terminal import print_comparison, print_evaluation

    paired = compare_loops(first.loop, second.loop) if first.loop is not None and second.loop is not None else []
    differences = (
        compare_episodes(first.offline, second.offline)
        if first.offline is not None and second.offline is not None
        else []
    )
    for evaluation in (first, second):
        print_evaluation(evaluation, console)
    print_comparison(paired, differences, console)
    if html is not None:
        write_comparison(first, second, paired, differences, html)
    if json_file is not None:
        document = {
            "closed_loop": [one.to_dict() for one in paired],
            "held_out_episodes": [one.to_dict() for one in differences],
            "first": first.to_dict(),
            "second": second.to_dict(),
        }
        write_json(json_file, document)


def _command(
    data: Path | None,
    driving: Driving | None,
    through_node: NodeDriving | None,
    condition: list[str] | None,
    seed: int,
    engine: str,
) -> str:
    """The command that measures the same again, without what only says where it runs or what it writes."""
    parts = ["mobile-vla evaluate"]
    if data is not None:
        parts.append(f"--data {data}")
    if driving is not None:
        parts.append(f"--sim --swap-pairs {driving.swap_pairs} --latency {driving.latency}")
    if through_node is not None:
        parts.append("--node")
    episodes = {one.episodes for one in (driving, through_node) if one is not None}
    if episodes:
        parts.append(f"--episodes {episodes.pop()}")
        parts += [f"--condition '{name}'" for name in condition or ()]
    return " ".join([*parts, f"--seed {seed} --engine {engine}"])
