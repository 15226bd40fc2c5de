"""`mobile-vla doctor`: whether this machine can run a policy, and what to do if not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .options import EngineName


def doctor(
    policy: Annotated[Path | None, typer.Argument(help="policy directory; loaded, and proved, if given")] = None,
    *,
    device: Annotated[str, typer.Option(help="torch device of the policy")] = "cpu",
    engine: EngineName = "torch",
    topics: Annotated[bool, typer.Option(help="watch the robot's topics")] = True,
    namespace: Annotated[str, typer.Option(help="of the topics")] = "/",
    image: Annotated[
        list[str] | None, typer.Option(help="camera topic, repeatable; else those of the policy, or camera/image_raw")
    ] = None,
    compressed: Annotated[bool, typer.Option("--compressed", help="image_transport: compressed")] = False,
    cmd_vel: Annotated[str, typer.Option(help="velocity command topic")] = "cmd_vel",
    stamped: Annotated[bool, typer.Option("--stamped", help="enable_stamped_cmd_vel: true")] = False,
    emergency_stop: Annotated[str, typer.Option(help="topic of the emergency stop")] = "emergency_stop",
    instruction: Annotated[str, typer.Option(help="topic of instructions")] = "instruction",
    use_sim_time: Annotated[bool, typer.Option("--use-sim-time", help="time from /clock")] = False,
    seconds: Annotated[float, typer.Option(min=1.0, max=60.0, help="for which topics are watched")] = 5.0,
    encoding: Annotated[
        str, typer.Option(help="Encoding of the cameras' images, as the node's parameter of that name.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="findings as JSON")] = False,
) -> None:
    """Check this machine, its ROS, its memory, a policy and the robot's topics; exit code 1 if anything is an error."""
    from ..doctor.examination import Robot, examine
    from ..doctor.finding import State
    from ..doctor.table import table

    images = tuple(image or ())
    robot = Robot(
        namespace, images, compressed, cmd_vel, stamped, emergency_stop, instruction, use_sim_time, seconds, encoding
    )
    findings = examine(policy, device, engine, robot if topics else None)
    if as_json:
        typer.echo(json.dumps([finding.document() for finding in findings], indent=2))
    else:
        Console().print(table(findings))
    if any(finding.state is State.ERROR for finding in findings):
        raise typer.Exit(1)
