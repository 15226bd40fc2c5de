import io
from pathlib import Path

import numpy as np
import pytest
from console_user import ConsoleUser
from PIL import Image
from rich.console import Console as Terminal

from mobile_vla_models import VLAPolicy
from mobile_vla_models.console import Console
from mobile_vla_ros.cli.camera_topic import receive_frame
from mobile_vla_ros.share import SHIPPED_POLICY, share_path

PATIENCE = 30.0  # s for a frame of a topic, of a machine that is busy


@pytest.fixture(scope="session")
def shipped() -> VLAPolicy:
    return VLAPolicy.from_pretrained(share_path(SHIPPED_POLICY))


@pytest.fixture
def user(shipped: VLAPolicy) -> ConsoleUser:
    """At a new console with the shipped policy."""
    shipped.reset()
    shown = io.StringIO()
    return ConsoleUser(
        Console(shipped, Terminal(file=shown, width=120), lambda topic: receive_frame(topic, PATIENCE)), shown
    )


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path)
    return path
