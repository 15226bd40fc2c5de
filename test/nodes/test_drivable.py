from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from still_policy import StillPolicy

from mobile_vla_ros.drivable import base_limits, load_for_base


def config(**changes: Any) -> Any:
    continuous = [SimpleNamespace(name="linear_x", unit="m/s"), SimpleNamespace(name="angular_z", unit="rad/s")]
    action = SimpleNamespace(continuous=continuous, binary=("stop",), limits=StillPolicy.config.action.limits)
    return SimpleNamespace(**{"action": action, "cameras": ("front",), "state": (), **changes})


def test_a_base_is_driven_by_any_number_of_cameras_but_by_no_state() -> None:
    assert base_limits(config()).linear_x_max == StillPolicy.config.action.limits.linear_x_max
    base_limits(config(cameras=("front", "hand")))
    with pytest.raises(ValueError, match=r"the policy takes the state \['arm'\]: pictures are all there is"):
        base_limits(config(state=(SimpleNamespace(name="arm"),)))


def test_the_simulated_robot_has_one_camera(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from mobile_vla_models import PolicyDirectoryError, VLAPolicy

    policy = SimpleNamespace(config=config(cameras=("front", "hand")))
    monkeypatch.setattr(VLAPolicy, "from_pretrained", lambda *_, **__: policy)
    with pytest.raises(PolicyDirectoryError, match=r"the policy takes cameras \['front', 'hand'\]: it has one"):
        load_for_base(tmp_path)
    policy.config.cameras = ("front",)
    assert load_for_base(tmp_path) is policy
