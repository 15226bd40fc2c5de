"""Whether a policy is one for a wheeled base, within which limits it drives it, and by which cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .control import BaseLimits, Limits

if TYPE_CHECKING:
    from mobile_vla_models import VLAPolicy
    from mobile_vla_models.configuration import PolicyConfig


def base_limits(config: PolicyConfig) -> Limits:
    """Limits of the base that the policy was made for, within those of any wheeled base of common size.

    Raises:
        ValueError: the policy commands something else than linear_x (m/s), angular_z (rad/s) and stop, has no limits,
            or needs more than pictures; the message names it.
    """
    action = config.action
    units = {dimension.name: dimension.unit for dimension in action.continuous}
    if units != {"linear_x": "m/s", "angular_z": "rad/s"} or action.binary != ("stop",):
        raise ValueError(
            f"the policy commands {units} and {list(action.binary)}: a wheeled base needs linear_x in m/s, angular_z "
            "in rad/s, and stop"
        )
    if action.limits is None:
        raise ValueError("the policy has no limits for a base (action.limits is null)")
    if config.state:
        names = [dimension.name for dimension in config.state]
        raise ValueError(f"the policy takes the state {names}: pictures are all there is")
    return Limits.of(action.limits).within(BaseLimits())


def load_for_base(directory: Path, engine: str = "torch", device: str = "cpu", threads: int | None = None) -> VLAPolicy:
    """A policy to drive the simulated robot with, which has one camera.

    Args:
        directory: of the policy.
        engine: that computes its steps.
        device: torch device.
        threads: that torch computes with in this process from now on; None: as many as before.

    Raises:
        PolicyDirectoryError: it cannot be loaded, or drives something else.
    """
    from mobile_vla_models import PolicyDirectoryError, VLAPolicy
    from mobile_vla_models.engine.threads import use_threads

    if threads is not None:
        use_threads(threads)
    policy = VLAPolicy.from_pretrained(directory, device=device, engine=engine)
    try:
        base_limits(policy.config)
        if len(policy.config.cameras) > 1:
            raise ValueError(f"the policy takes cameras {list(policy.config.cameras)}: it has one")
    except ValueError as error:
        raise PolicyDirectoryError(f"{directory} cannot drive the simulated robot: {error}") from error
    return policy
