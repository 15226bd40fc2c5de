from pathlib import Path

import pytest
from tiny import tiny_policy

from mobile_vla_models.policy import VLAPolicy


@pytest.fixture
def policy() -> VLAPolicy:
    return tiny_policy()


@pytest.fixture
def policy_dir(tmp_path: Path) -> Path:
    path = tmp_path / "policy"
    tiny_policy().save_pretrained(path, {"parameters": 0}, "# tiny\n")
    return path
