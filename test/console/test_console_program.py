import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mobile_vla_models import PolicyDirectoryError
from mobile_vla_models.console import run_console
from mobile_vla_models.console.errors import ConsoleError
from mobile_vla_models.console.line_history import history_file, line_history
from mobile_vla_ros.share import SHIPPED_POLICY, share_path

ROOT = Path(__file__).resolve().parents[2]
# A test run in the background of a shell inherits that SIGINT is ignored.
PROGRAM = """
import conftest, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from mobile_vla_models.console import run_console
run_console(Path(sys.argv[1]), "cpu", None)
"""
ANSI = re.compile(rb"\x1b\[[\d;?]*[A-Za-z]|\r\n")
COMMAND = [sys.executable, "-c", PROGRAM, str(share_path(SHIPPED_POLICY))]


def test_commands_from_a_pipe_are_carried_out_without_prompts(picture: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        COMMAND,
        input=f"infer '{picture}' \"go to the red box\"\ndance\ninfer\nquit\ninfer\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "parameters, float32, on cpu; help lists the commands" in result.stdout
    assert "error: unknown command 'dance'" in result.stdout
    assert "\nstep 2, 2 of 16 frames" in result.stdout
    assert "step 3" not in result.stdout
    assert "vla>" not in result.stdout
    assert not (tmp_path / "state").exists()


def test_a_terminal_gets_a_prompt_and_its_lines_are_kept(tmp_path: Path) -> None:
    pytest.importorskip("readline")
    terminal, child = pty.openpty()
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "xterm"}
    with subprocess.Popen(COMMAND, stdin=child, stdout=child, stderr=child, cwd=ROOT, env=environment) as process:
        os.close(child)

        def shows(text: bytes) -> None:
            """Wait for a text and a prompt after it."""
            shown = b""
            while not re.search(text + b".*vla> ", ANSI.sub(b"", shown), re.DOTALL):
                assert select.select([terminal], [], [], 60.0)[0], shown
                shown += os.read(terminal, 4096)

        try:
            shows(b"help lists the commands")
            os.write(terminal, b"dance\n")
            shows(b"unknown command")
            process.send_signal(signal.SIGINT)  # as Ctrl-C does
            os.write(terminal, b"\n")  # Python may miss a signal until the line ends
            shows(b"interrupted; the next frame is step 1 of its run")
            os.write(terminal, b"quit\n")
            assert process.wait(60.0) == 0
        finally:
            process.kill()
            os.close(terminal)
    assert (tmp_path / "mobile_vla" / "console_history").read_text() == "dance\nquit\n"


def test_lines_of_earlier_sessions_are_there_again(tmp_path: Path) -> None:
    readline = pytest.importorskip("readline")
    path = tmp_path / "deep" / "history"
    try:
        with line_history(path):
            readline.add_history("infer a.png")
        readline.clear_history()
        with line_history(path):
            assert readline.get_history_item(1) == "infer a.png"
            readline.add_history("quit")
        assert path.read_text().splitlines() == ["infer a.png", "quit"]
        assert list(path.parent.iterdir()) == [path]
    finally:
        readline.clear_history()


def test_lines_are_kept_where_the_system_keeps_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert history_file() == Path("/home/robot/.local/state/mobile_vla/console_history")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_file() == tmp_path / "mobile_vla" / "console_history"


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_named_before_anything_is_loaded(tmp_path: Path, device: str) -> None:
    with pytest.raises(ConsoleError, match=f"device '{device}' is"):
        run_console(tmp_path / "missing", device)


def test_a_policy_that_does_not_load_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyDirectoryError, match="missing does not exist"):
        run_console(tmp_path / "missing", "cpu")
    with pytest.raises(ValueError, match="int3"):
        run_console(share_path(SHIPPED_POLICY), "cpu", "int3")
