"""Property tests draw the same examples each time, and a busy machine does not fail them."""

import pytest
from hypothesis import settings

from mobile_vla_ros.shared_memory import remove_left_behind

settings.register_profile("steady", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_behind() -> None:
    """A run that was killed has left nodes' shared memory, among which others may not hear each other."""
    remove_left_behind()
