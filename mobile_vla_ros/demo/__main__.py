"""`python -m mobile_vla_ros.demo`: a simulated robot follows instructions, over real DDS, before your eyes.

Exit code 0: it did as told. 1: it did not. 2: the demonstration could not be held. 130: interrupted.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from ..bringup.errors import BringUpError
from ..share import SHIPPED_POLICY, share_path
from ..sim.gl import RendererError
from .errors import DemoError

DEFAULT_SEED = 331  # three cylinders and more in the first picture: only the words tell which
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(
    *,
    policy: Annotated[Path | None, typer.Option(help="policy directory; else the shipped one")] = None,
    out: Annotated[Path, typer.Option(help="folder for video, plot and logs")] = Path("out/demo"),
    seed: Annotated[int, typer.Option(min=0, help="of the room")] = DEFAULT_SEED,
    instruction: Annotated[
        list[str] | None,
        typer.Option(help="what to tell the robot; repeatable; else three that suit the room"),
    ] = None,
) -> None:
    """Start a simulated robot and the policy node, tell the robot what to do, and film it."""
    directory = find_policy(policy)
    from .run import DemoConfig, hold_demo

    config = DemoConfig(directory, out, seed, tuple(instruction or ()))
    if not hold_demo(config, Console(highlight=False)):
        raise typer.Exit(1)


def find_policy(policy: Path | None) -> Path:
    """The policy directory, absolute; None stands for the shipped one.

    Raises:
        DemoError: there is none.
    """
    if policy is None:
        try:
            return share_path(SHIPPED_POLICY)
        except FileNotFoundError as error:
            raise DemoError(
                f"{error}; train it (mobile-vla train --config config/train/sim_small.yaml) "
                "or name another one with --policy"
            ) from error
    if not (policy / "config.json").is_file():
        raise DemoError(f"{policy} is not a policy directory: there is no {policy / 'config.json'}")
    return policy.resolve()


def main() -> None:
    """Run the demonstration; what a user can mend is said in one message, with exit code 2."""
    for number in INTERRUPTIONS:
        signal.signal(number, _interrupt)
    try:
        typer.run(demo)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mobile_vla"):
            raise
        _refuse([f"the demonstration needs the Python package {error.name}; `make demo` installs what it needs"])
    except (BringUpError, RendererError, OSError) as error:
        _refuse(_reasons(error))


def _refuse(reasons: list[str]) -> NoReturn:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for reason in reasons:
        console.print(f"[red]error:[/red] {escape(reason)}")
    sys.exit(2)


def _reasons(error: BaseException) -> list[str]:
    """What went wrong first, then what went wrong while cleaning up after it."""
    before = None if error.__cause__ else error.__context__
    first = _reasons(before) if isinstance(before, Exception) else []
    return [*first, str(error)]


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Leave, and let nothing interrupt the leaving: ignored signals stay so while Python itself ends."""
    for interruption in INTERRUPTIONS:
        signal.signal(interruption, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
