"""Checks of a policy directory: what it needs, and whether it does here what it did where it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobile_vla_models import MemoryShortageError, MobileVLAError

from .finding import Finding, error, ok
from .sizes import size_text


@dataclass(frozen=True)
class Wants:
    """What a policy wants of the robot's cameras.

    Attributes:
        dt: s between frames.
        cameras: their names.
    """

    dt: float
    cameras: tuple[str, ...]


def check_policy(path: Path, device: str, engine: str) -> tuple[list[Finding], Wants | None]:
    """Load a policy, which compares what it needs with what is free, and checks its golden vectors.

    Args:
        path: policy directory.
        device: torch device.
        engine: that computes its steps.

    Returns:
        Findings; what it wants, None if it does not load.
    """
    name = f"policy {path}"
    try:
        from mobile_vla_models import VLAPolicy
        from mobile_vla_models.fit import weight_bytes
        from mobile_vla_models.memory import available_memory
    except ImportError as missing:
        return [error(name, f"not loaded: {missing}", "see the packages above")], None
    try:
        policy = VLAPolicy.from_pretrained(path, device=device, engine=engine)
    except MemoryShortageError as shortage:
        return [error(name, str(shortage), "mobile-vla convert precision; docs/checkpoints.md")], None
    except (MobileVLAError, OSError) as refused:
        return [error(name, str(refused), "the message says what is wrong; docs/checkpoints.md")], None
    except (ValueError, RuntimeError, ImportError) as failed:
        # torch: no such device, or out of memory; a package of the engine is missing
        advice = f"device {device} and engine {engine} must be there: see GPU above"
        return [error(name, f"does not load: {type(failed).__name__}: {failed}", advice)], None
    size, left = size_text(weight_bytes(policy.model)), available_memory(policy.model.device)
    found = f"{policy.engine.describe()}; weights {size} {policy.files}; {policy.golden_difference}; then free: {left}"
    return [ok(name, found)], Wants(float(policy.config.dt), policy.config.cameras)
