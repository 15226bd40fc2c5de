"""Checks of Python and its packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .finding import Finding, error, ok, warning
from .probe import Package

PYTHON = ((3, 10), (3, 13))  # first and last that the tests run on


@dataclass(frozen=True)
class Supported:
    """Versions of a package that work: `first` <= version < `before`.

    Attributes:
        needed: whether no policy runs without it.
        install: how to get it.
    """

    first: tuple[int, ...]
    before: tuple[int, ...] | None
    needed: bool
    install: str


APT = "/usr/lib/python3/dist-packages/"  # where apt puts Python packages, which Ubuntu 22.04 has built for numpy 1
# What apt's compiled packages load, on Ubuntu 22.04 and 24.04 alike.
NUMPY_1 = "pip install numpy==1.26.4"
# By import name. torch 2.6 is what the transformers that we test with ask for.
PACKAGES: Mapping[str, Supported] = {
    "numpy": Supported((1, 21), (3,), True, "pip install 'numpy>=1.26,<3'"),
    "torch": Supported((2, 6), None, True, "install the build for this platform: docs/robot.md, docs/jetson.md"),
    "transformers": Supported((5, 5, 4), (6,), True, "pip install 'transformers>=5.5.4,<6'"),
    "tokenizers": Supported((0,), None, True, "pip install tokenizers"),
    "safetensors": Supported((0,), None, True, "pip install safetensors"),
    "accelerate": Supported((0,), None, True, "pip install accelerate"),
    "pydantic": Supported((2,), None, True, "pip install 'pydantic>=2'"),
    "cv2": Supported((4,), None, True, "apt install python3-opencv, or pip install opencv-python-headless"),
    "PIL": Supported((0,), None, True, "pip install pillow"),
    "onnxruntime": Supported((1, 18), None, False, "only for engine: onnx; docs/latency.md"),
    "rosbags": Supported((0,), None, False, "only for black_box_folder: pip install rosbags"),
}


def check_python(version: tuple[int, int]) -> Finding:
    """Whether this Python is among those that are tested."""
    first, last = PYTHON
    found = f"Python {version[0]}.{version[1]}"
    if version < first:
        return error("Python", found, f"use Python {first[0]}.{first[1]} or later")
    if version > last:
        return warning("Python", found, f"not tested; the last tested is {last[0]}.{last[1]}")
    return ok("Python", found)


def check_packages(found: Mapping[str, Package]) -> list[Finding]:
    """Every package of `PACKAGES`, present and of a version that works."""
    wanted = dict(PACKAGES)
    if found["cv2"].path.startswith(APT):
        # Another numpy is not to break apt's OpenCV, nor is a second OpenCV to hide it.
        for name in ("numpy", "cv2"):
            wanted[name] = replace(PACKAGES[name], install=f"{NUMPY_1}: OpenCV is apt's, which is built for numpy 1")
    return [_check_package(name, found[name], supported) for name, supported in wanted.items()]


def _check_package(name: str, package: Package, wanted: Supported) -> Finding:
    if package.missing:
        if not wanted.needed:
            return ok(name, "not installed; " + wanted.install)
        return error(name, "not installed", wanted.install)
    if package.version is None:
        # The usual one: an extension that was built for numpy 1 beside numpy 2.
        return error(name, f"cannot be imported ({package.error})", wanted.install)
    version = release(package.version)
    before = wanted.before
    if version < wanted.first or (before is not None and version >= before):
        limit = "" if before is None else f", < {_text(before)}"
        return error(name, f"{package.version}; supported: >= {_text(wanted.first)}{limit}", wanted.install)
    return ok(name, package.version)


def release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: (2, 8, 0) of "2.8.0a0+nv"."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _text(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
