"""The console's commands."""

from __future__ import annotations

import cmd
import inspect
import shlex
import sys
from pathlib import Path

import torch
from rich.console import Console as Terminal
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from ..golden import INSTRUCTION
from ..memory import available_memory, give_back, process_memory, size_text
from ..policy import VLAPolicy
from .errors import ConsoleError
from .pictures import NOISE, noise
from .session import Camera, Session, is_topic
from .tables import latency_table, memory_table, step_table, weights_table

USER_ERRORS = (OSError, ValueError, torch.cuda.OutOfMemoryError)
STEPS = 50  # of a benchmark
USAGE = {
    "infer": 'infer [IMAGE|TOPIC] ["TEXT"]',
    "benchmark": "benchmark [STEPS]",
    "memory": "memory",
    "clear": "clear",
    "help": "help [COMMAND]",
    "quit": "quit",
    "exit": "exit",
}


class Console(cmd.Cmd):
    """Reads commands line by line until `quit`; what a user can mend is said in one line.

    Each `do_` method is a command, its docstring is what `help` says of it.

    Args:
        policy: stepped by this console only.
        out: where everything is shown.
        camera: gives the next frame of a topic; None: there are no topics.
    """

    def __init__(self, policy: VLAPolicy, out: Terminal, camera: Camera | None = None) -> None:
        super().__init__()
        # A prompt before each line of a file or pipe would only clutter what comes out.
        self._interactive = sys.stdin.isatty()
        self.prompt = "vla> " if self._interactive else ""
        self._out = out
        self._session = Session(policy, camera)

    def run(self) -> None:
        """Read commands until `quit` or the end of the input; Ctrl-C drops a line or ends a command."""
        while True:
            try:
                self.cmdloop()
            except KeyboardInterrupt:
                if not self._interactive:
                    raise
                number = self._session.steps + 1
                self._say(f"[yellow]interrupted[/yellow]; the next frame is step {number} of its run; quit ends this")
            else:
                return

    def onecmd(self, line: str) -> bool:
        """Carry out a line; whether it was the last."""
        steps = self._session.steps
        try:
            return super().onecmd(line)
        except USER_ERRORS as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            self._say(f"[red]error:[/red] {escape(reason)}")
            if self._session.steps < steps:
                self._say("history forgotten: the next frame begins a new run")
            return False

    def emptyline(self) -> bool:
        """Do nothing; `cmd` would repeat the last command, and with it take a step."""
        return False

    def default(self, line: str) -> None:
        """Name a command that does not exist."""
        raise ConsoleError(f"unknown command {line.split()[0]!r}: expected one of {', '.join(USAGE)}")

    def do_infer(self, argument: str) -> None:
        """Take one step of the policy: a frame and an instruction in, a chunk of actions out.

        IMAGE is a file; TOPIC begins with / and is asked for its next frame (sensor_msgs Image or CompressedImage).
        What is left out is the last one again: a further frame of the same run, the history goes on.
        Another text than before begins a new run.
        """
        source, text = _frame_and_text(shlex.split(argument))
        step = self._session.step(source, text)
        if step.restarted:
            self._say("the text changed: history forgotten, a new run begins")
        self._out.print(step_table(self._session.policy, step))

    def do_benchmark(self, argument: str) -> None:
        """Measure the latency of steps, 50 unless told.

        With the last picture and text, or noise if there is none yet, after as many steps as fill the window.
        The run that was on is forgotten.
        """
        count = _count(shlex.split(argument))
        session = self._session
        picture = session.picture
        if picture is None:
            picture = noise()
            self._say(f"no picture yet: measuring with {NOISE}")
        text = session.text
        if text is None:
            text = INSTRUCTION
            self._say(f"no text yet: measuring with {escape(repr(text))}")
        with Progress(console=self._out, transient=True, disable=not self._out.is_terminal) as progress:
            task = progress.add_task("steps", total=None)
            latencies = session.time_steps(
                picture, text, count, lambda done, total: progress.update(task, completed=done, total=total)
            )
        self._out.print(latency_table(session.policy, latencies))
        self._say("history forgotten")

    def do_memory(self, argument: str) -> None:
        """Show the memory of this process and of the device, what is free, and the weights part by part."""
        _refuse_words("memory", shlex.split(argument))
        policy = self._session.policy
        device = policy.model.device
        self._out.print(memory_table(process_memory(), device, available_memory(device)))
        self._out.print(weights_table(policy))

    def do_clear(self, argument: str) -> None:
        """Forget the history, and give memory that is not used back to the system.

        The last picture and text stay.
        """
        _refuse_words("clear", shlex.split(argument))
        device = self._session.policy.model.device
        before = _held(device)
        steps = self._session.steps
        self._session.forget()
        trimmed = give_back()
        table = Table("", "before", "after")
        for name, after in _held(device).items():
            table.add_row(name, size_text(before[name]), size_text(after))
        self._out.print(table)
        self._say(f"history of {steps} steps forgotten")
        if not trimmed:
            self._say("this C library keeps freed memory")

    def do_help(self, arg: str) -> None:
        """List the commands, or explain one."""
        if not arg:
            table = Table(show_header=False, box=None)
            for name, usage in USAGE.items():
                table.add_row(escape(usage), escape(self._explanation(name).partition("\n")[0]))
            self._out.print(table)
        elif arg in USAGE:
            self._say(escape(f"{USAGE[arg]}\n{self._explanation(arg)}"))
        else:
            self.default(arg)

    def do_quit(self, argument: str) -> bool:
        """End the console; so do exit and the end of the input."""
        _refuse_words("quit", shlex.split(argument))
        return True

    def do_exit(self, argument: str) -> bool:
        """End the console, as quit does."""
        _refuse_words("exit", shlex.split(argument))
        return True

    def do_EOF(self, argument: str) -> bool:  # noqa: N802  (so `cmd` names the end of the input)
        """End the console."""
        if self._interactive:
            self._out.print()  # the shell's prompt begins a line of its own
        return True

    def _explanation(self, command: str) -> str:
        return (inspect.getdoc(getattr(self, f"do_{command}")) or "").replace("\n\n", "\n")

    def _say(self, markup: str) -> None:
        self._out.print(markup, highlight=False, soft_wrap=True)


def _frame_and_text(words: list[str]) -> tuple[str | None, str | None]:
    """Picture's source and text of the words after `infer`."""
    if len(words) > 2:
        raise ConsoleError(f'expected infer IMAGE|TOPIC "TEXT", with the text in quotes; got {len(words)} words')
    if len(words) == 2:
        return words[0], words[1]
    if not words:
        return None, None
    # A sentence has spaces; a name of a file may have them too.
    sentence = " " in words[0] and not is_topic(words[0]) and not Path(words[0]).expanduser().exists()
    return (None, words[0]) if sentence else (words[0], None)


def _count(words: list[str]) -> int:
    if not words:
        return STEPS
    if len(words) > 1 or not words[0].isdecimal() or int(words[0]) < 1:
        raise ConsoleError(f"expected benchmark STEPS, a whole number from 1 on; got {' '.join(words)!r}")
    return int(words[0])


def _refuse_words(command: str, words: list[str]) -> None:
    if words:
        raise ConsoleError(f"{command} takes nothing; got {' '.join(words)!r}")


def _held(device: torch.device) -> dict[str, int]:
    """Bytes that the process holds, by kind."""
    memory = process_memory()
    held = {"resident": memory.rss}
    if memory.anonymous is not None:
        held["of it anonymous"] = memory.anonymous
    if device.type == "cuda":
        held[f"kept by torch on {device}"] = torch.cuda.memory_reserved(device)
    return held
