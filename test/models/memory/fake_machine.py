"""A /proc, /sys and /etc of files, for what a machine says about its memory."""

from collections.abc import Mapping
from pathlib import Path

GB = 10**9
UNLIMITED_V1 = 9223372036854771712  # what version 1 says for no limit


class FakeMachine:
    """Writes what Linux would show below `root`; sizes in bytes, multiples of 1024 where the kernel writes kB."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def meminfo(self, total: int, free: int, available: int) -> None:
        sizes = {"MemTotal": total, "MemFree": free, "MemAvailable": available}
        lines = [f"{name}:       {size // 1024} kB" for name, size in sizes.items()]
        self.write("proc/meminfo", "\n".join([*lines, "HugePages_Total:       0", ""]))

    def cgroup_v2(self, own: str, top: str = "/", mount: str = "/sys/fs/cgroup") -> None:
        self.write("proc/self/cgroup", f"0::{own}\n")
        self.write(
            "proc/self/mountinfo",
            "22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n"
            f"30 22 0:26 {top} {mount} rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
        )

    def group_v2(self, folder: str, limit: str, usage: int, inactive: int = 0, high: str = "max") -> None:
        base = f"sys/fs/cgroup/{folder}/"
        self.write(base + "memory.max", f"{limit}\n")
        self.write(base + "memory.high", f"{high}\n")
        self.write(base + "memory.current", f"{usage}\n")
        self.write(base + "memory.stat", f"anon 1\ninactive_file {inactive}\nactive_file 77\n")

    def cgroup_v1(self, own: str, top: str = "/") -> None:
        self.write("proc/self/cgroup", f"9:name=systemd:/\n7:cpu,cpuacct:/elsewhere\n4:memory:{own}\n0::/\n")
        self.write(
            "proc/self/mountinfo",
            "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
            f"35 31 0:32 {top} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
            "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
        )
        (self.root / "sys/fs/cgroup/unified").mkdir(parents=True, exist_ok=True)

    def group_v1(self, folder: str, limit: int, usage: int, inactive: int = 0) -> None:
        base = f"sys/fs/cgroup/memory/{folder}/"
        self.write(base + "memory.limit_in_bytes", f"{limit}\n")
        self.write(base + "memory.usage_in_bytes", f"{usage}\n")
        self.write(base + "memory.stat", f"inactive_file 5\ntotal_inactive_file {inactive}\n")

    def status(self, sizes: Mapping[str, int]) -> None:
        lines = [f"{name}:\t{size // 1024} kB" for name, size in sizes.items()]
        self.write("status", "\n".join(["Name:\tpython", "Threads:\t4", *lines, ""]))
