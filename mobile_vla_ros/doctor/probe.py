"""Import packages in a process of their own, and say what they are: a broken build may end the process that imports it.

`python -m mobile_vla_ros.doctor.probe numpy torch` prints one JSON document a line and package.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

TIMEOUT = 300.0  # s for all imports together; from a slow card, beside a robot that works, they take minutes


@dataclass(frozen=True)
class Package:
    """An importable package.

    Attributes:
        version: what it says it is; None if it could not be imported.
        error: why not; empty if it could.
        facts: what else it knows, such as whether torch sees a GPU.
        path: File that is imported, also where the import fails; empty if there is none.
    """

    version: str | None
    error: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    path: str = ""

    @property
    def missing(self) -> bool:
        """Whether it is not installed at all, rather than broken."""
        return self.error.startswith("ModuleNotFoundError")


def probe(names: Sequence[str]) -> dict[str, Package]:
    """Every package by its name, also those that are missing or broken."""
    command = [sys.executable, "-m", __name__, *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        output, end = done.stdout, f"its import ends the process (exit code {done.returncode})"
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout.decode() if isinstance(expired.stdout, bytes) else expired.stdout or ""
        end = f"its import takes more than {TIMEOUT:g} s"
    found: dict[str, Package] = {}
    for line in output.splitlines():
        document = json.loads(line)
        name = document.pop("name")
        found[name] = Package(**document)
    for name in names:
        if name not in found:  # imports go in order: what comes after it was not tried
            found[name] = Package(None, end)
            end = f"not tried, since {name} does not import"
    return found


def _describe(name: str) -> dict[str, Any]:
    return {"name": name, "path": _path_of(name), **_imported(name)}


def _path_of(name: str) -> str:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return ""
    return "" if spec is None else spec.origin or ""


def _imported(name: str) -> dict[str, Any]:
    try:
        module = importlib.import_module(name)
        facts = _FACTS[name](module) if name in _FACTS else {}
    except Exception as error:  # noqa: BLE001  (whatever a broken package does is what is asked for)
        return {"version": None, "error": f"{type(error).__name__}: {error}", "facts": {}}
    return {"version": _version_of(name, module), "error": "", "facts": facts}


def _version_of(name: str, module: Any) -> str:
    """As the module says it, or whoever installed it; empty: neither does."""
    said = str(getattr(module, "__version__", ""))
    with contextlib.suppress(metadata.PackageNotFoundError):
        return said or metadata.version(name)
    return ""


def _torch_facts(torch: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"cuda_build": torch.version.cuda, "cuda": bool(torch.cuda.is_available())}
    if facts["cuda"]:
        free, total = torch.cuda.mem_get_info()
        facts |= {"device": torch.cuda.get_device_name(0), "free": free, "total": total}
    return facts


def _onnx_facts(onnxruntime: Any) -> dict[str, Any]:
    return {"providers": list(onnxruntime.get_available_providers())}


_FACTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "torch": _torch_facts,
    "onnxruntime": _onnx_facts,
}


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        print(json.dumps(_describe(wanted)), flush=True)
