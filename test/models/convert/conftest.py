from collections.abc import Callable

import pytest
from robovlms_cases import DT, Case

from mobile_vla_models.convert import convert_robovlms
from mobile_vla_models.policy import VLAPolicy


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], VLAPolicy]:
    """A recorded case, converted, written and loaded again."""
    policies: dict[str, VLAPolicy] = {}

    def load(name: str) -> VLAPolicy:
        if name not in policies:
            folder = tmp_path_factory.mktemp(name)
            directory = convert_robovlms(*Case(name).write(folder), folder / "policy", DT)
            policies[name] = VLAPolicy.from_pretrained(directory)
        policy = policies[name]
        policy.reset()
        policy.model.eval().zero_grad()
        return policy

    return load
