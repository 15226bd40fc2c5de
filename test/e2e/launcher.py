"""What `ros2 launch` is to the processes that it starts, where it is not installed.

Arguments: interactive or noninteractive, then commands as JSON. The commands share its process group, which a Ctrl-C in
the terminal reaches. It hands on a SIGINT only if it is noninteractive. It ends when its commands have ended, but on
SIGTERM and SIGHUP at once, and leaves them.
"""

import json
import signal
import subprocess
import sys


def main() -> None:
    processes: list[subprocess.Popen[bytes]] = []

    def on_sigint(*_: object) -> None:
        if sys.argv[1] == "noninteractive":
            for process in processes:
                process.send_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, on_sigint)
    processes += [subprocess.Popen(command) for command in json.loads(sys.argv[2])]
    for process in processes:
        process.wait()


if __name__ == "__main__":
    main()
