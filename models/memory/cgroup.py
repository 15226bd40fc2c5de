"""Memory limits that containers and services are under: cgroups, version 2 and 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class CgroupMemory:
    """A limit that this process is under, in bytes.

    Attributes:
        path: of the cgroup in its hierarchy, such as /system.slice/docker-1.scope.
        limit: what all its processes may have together.
        usage: what they have, cached file pages included.
        reclaimable: of these, file pages that were not used lately; the kernel drops them before anything fails.
    """

    path: str
    limit: int
    usage: int
    reclaimable: int

    @property
    def free(self) -> int:
        """What can still be had under this limit alone."""
        return max(self.limit - self.usage + self.reclaimable, 0)


def cgroup_limits(root: Path = Path("/")) -> Iterator[CgroupMemory]:
    """Every limit on memory that this process is under, from its own cgroup upwards; none without cgroups.

    Args:
        root: where /proc and /sys are.

    Raises:
        OSError: a cgroup's files cannot be read.
        ValueError: they hold something that is not a number.
    """
    memberships = root / "proc/self/cgroup"
    mounts = root / "proc/self/mountinfo"
    if not (memberships.exists() and mounts.exists()):
        return
    for line in memberships.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        version = 2 if controllers == "" else 1
        if version == 1 and "memory" not in controllers.split(","):
            continue
        mount = _mount(mounts, version)
        if mount is None:
            continue
        top, folder = mount
        for level in _levels(PurePosixPath(path), top):
            found = _limit(root / folder.lstrip("/") / level, str(top / level), version)
            if found is not None:
                yield found


def _mount(mounts: Path, version: int) -> tuple[PurePosixPath, str] | None:
    """The cgroup that is mounted, and where; a container may see its own cgroup only, mounted as if it were the top."""
    for line in mounts.read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        holds_memory = kind == "cgroup" and "memory" in options.split(",")
        if (version == 2 and kind == "cgroup2") or (version == 1 and holds_memory):
            top, folder = before.split()[3:5]
            return PurePosixPath(top), folder
    return None


def _levels(path: PurePosixPath, top: PurePosixPath) -> list[PurePosixPath]:
    """From the process's cgroup to the one that is mounted, relative to it."""
    # Of a cgroup outside what is mounted nothing can be read; what is mounted holds for it all the same.
    if ".." in path.parts or not path.is_relative_to(top):
        return [PurePosixPath()]
    own = path.relative_to(top)
    return [own, *own.parents]


def _limit(folder: Path, path: str, version: int) -> CgroupMemory | None:
    """The limit at one level; None if it has none."""
    if version == 1:
        limits, usage, inactive = ["memory.limit_in_bytes"], "memory.usage_in_bytes", "total_inactive_file"
    else:
        # Above `high` processes are put to sleep rather than killed: a load would never end.
        limits, usage, inactive = ["memory.max", "memory.high"], "memory.current", "inactive_file"
    found = [(folder / name).read_text(encoding="ascii").strip() for name in limits if (folder / name).exists()]
    numbers = [int(value) for value in found if value != "max"]
    if not numbers:
        return None
    statistics = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    used = int((folder / usage).read_text(encoding="ascii"))
    return CgroupMemory(path, min(numbers), used, int(statistics.get(inactive, "0")))
