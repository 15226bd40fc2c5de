"""Run a command in a session of its own, and hand signals on to it after a delay.

A launch file puts this before its nodes, so that they end in order. A Ctrl-C, or a terminal that closes, would reach
all of them together; the node's last zero command would then find nobody who takes it to the base.

    python3 delayed_signals.py SECONDS COMMAND [ARGUMENT ...]

The delay counts from the first signal. Each signal is handed on once: a second Ctrl-C hurries nothing. The command gets
SIGTERM after the delay when the parent process dies, and at once when this process is killed. The exit code is that of
the command, or 128 + N if signal N ended it.

It imports the standard library only: launch files start it without site-packages, in 0.05 s.
"""

import ctypes
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

# Delays of the chain behind the policy node (s), within the 5 s after which `ros2 launch` sends SIGTERM. The mux ends
# after the node's zero command, for whose delivery the node waits 0.2 s. Where no zero comes, because the mux is locked
# or the node drives on in another launch, the smoother brakes velocity_timeout after the mux has ended: 2.5 s are
# enough for nav2's default of 1.0 s and 1.5 s of braking.
MUX_DELAY = 0.5
SMOOTHER_DELAY = 3.0
# Signals that end the command, and what it gets for them: rclcpp handles SIGINT and SIGTERM only. Ctrl-Z is among them:
# it would suspend the launch, which Ctrl-C then does not reach, while its nodes drive on.
HANDED_ON = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
    signal.SIGQUIT: signal.SIGTERM,
    signal.SIGTSTP: signal.SIGTERM,
}
_PR_SET_PDEATHSIG = 1


def launch_prefix(launch_configurations: Mapping[str, str], delay: float) -> str | None:
    """Return the `prefix` of a launch action whose process gets signals after a delay.

    Args:
        launch_configurations: Launch configurations of the launch context.
        delay: Time from a signal to the moment when the process gets it (s).

    Returns:
        None if `ros2 launch` was given a --launch-prefix, such as a debugger, which then takes this one's place.
    """
    if launch_configurations.get("launch-prefix"):
        return None
    return shlex.join([sys.executable, "-I", "-S", __file__, f"{delay:g}"])


def run(delay: float, command: list[str]) -> int:
    """Run a command to its end and hand signals on to it.

    Args:
        delay: Time from the first signal to the moment when the command gets it (s).
        command: Program and arguments.

    Returns:
        Exit code of the command.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where a parent ignored it, no exit code would be kept
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    # Who ignores SIGHUP (nohup) wants the command to go on when the terminal closes.
    ending = [number for number in HANDED_ON if signal.getsignal(number) is not signal.SIG_IGN]
    former = signal.pthread_sigmask(signal.SIG_BLOCK, [*ending, signal.SIGCHLD])
    _signal_at_death_of(os.getppid())
    own = os.getpid()
    child = os.fork()
    if child == 0:
        _become(command, own, former)
    due: float | None = None
    waiting: list[signal.Signals] = []
    handed_on: set[signal.Signals] = set()
    while True:
        left = None if due is None else max(due - time.monotonic(), 0.0)
        received = _wait([*ending, signal.SIGCHLD], left if waiting else None)
        if received is signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
        elif received is not None:
            due = time.monotonic() + delay if due is None else due
            waiting.append(HANDED_ON[received])
        if due is not None and time.monotonic() >= due:
            for number in waiting:
                if number not in handed_on:
                    os.kill(child, number)
                    handed_on.add(number)
            waiting.clear()


def _wait(numbers: Sequence[signal.Signals], timeout: float | None) -> signal.Signals | None:
    """Wait for one of some blocked signals; None: the timeout (s) has passed first."""
    info = signal.sigwaitinfo(numbers) if timeout is None else signal.sigtimedwait(numbers, timeout)
    return None if info is None else signal.Signals(info.si_signo)


def _become(command: list[str], parent: int, mask: set[int]) -> NoReturn:
    """Turn the forked child into the command."""
    try:
        os.setsid()  # signals of the terminal end here
        _signal_at_death_of(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # SIGPIPE stays ignored, as Python has it: a log line for a launch that is gone must not end the command.
        os.execvp(command[0], command)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


def _signal_at_death_of(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent process dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "cannot ask for a signal at the death of the parent")
    if os.getppid() != parent:  # it was gone before
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(run(float(sys.argv[1]), sys.argv[2:]))
