from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from bench import Bench


def open_bench(folder: Path) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
            patch.delenv(name, raising=False)  # as most robots are
        patch.setenv("ROS_HOME", str(folder))
        bench = Bench(folder)
        try:
            yield bench
        finally:
            bench.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from open_bench(tmp_path)


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from open_bench(tmp_path_factory.mktemp("bench"))
