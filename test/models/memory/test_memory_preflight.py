import re
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_models.errors import ConversionError, MemoryShortageError
from mobile_vla_models.memory import RESERVE, Available, Need, check_disk, free_disk, preflight, size_text

CPU = torch.device("cpu")
NEED = Need(3_710_000_000, 600_000_000)
HALF = {"bfloat16": 2_500_000_000, "int8": 1_900_000_000, "int4": 1_100_000_000}


def free(size: int, without_cache: int | None = None) -> Available:
    return Available(size, 15_600_000_000, "MemAvailable", without_cache)


def refusal(need: Need, smaller: dict[str, int], available: Available) -> str:
    with pytest.raises(MemoryShortageError) as error:
        preflight(need, CPU, smaller, available)
    return str(error.value)


def test_the_message_gives_both_sides_and_the_largest_precision_that_fits() -> None:
    assert refusal(NEED, HALF, free(2_500_000_000)) == (
        "policy needs 4.31 GB (weights 3.71 GB, workspace 600.0 MB) beside a reserve of 268.4 MB, "
        "2.50 GB are free of 15.60 GB (MemAvailable): convert it to int8 (1.90 GB)"
    )


def test_it_says_when_no_precision_fits_or_there_is_none() -> None:
    assert refusal(NEED, HALF, free(10**9)).endswith(": no precision fits, the smallest, int4, needs 1.10 GB")
    assert refusal(NEED, {}, free(10**9)).endswith(": it has no smaller precision")


def test_it_says_what_dropping_the_file_cache_would_do() -> None:
    text = refusal(NEED, HALF, free(2_500_000_000, without_cache=6_000_000_000))
    assert "; 6.00 GB would be free if the file cache were dropped, enough (" in text
    assert "dropped, still too little (" in refusal(NEED, HALF, free(10**9, without_cache=NEED.total))


sizes = st.integers(0, 2 * 10**10)


@given(sizes, sizes, sizes, st.dictionaries(st.sampled_from(["float16", "int8", "int4"]), sizes))
def test_it_refuses_exactly_what_does_not_fit_beside_the_reserve(
    weights: int, workspace: int, available: int, smaller: dict[str, int]
) -> None:
    need = Need(weights, workspace)
    if weights + workspace + RESERVE <= available:
        preflight(need, CPU, smaller, free(available))
        return
    advised = re.search(r"convert it to (\w+)", refusal(need, smaller, free(available)))
    fitting = [size for size in smaller.values() if size + RESERVE <= available]
    assert (advised is not None) == bool(fitting)
    if advised is not None:
        assert smaller[advised[1]] == max(fitting)


def test_a_policy_that_fits_to_the_byte_passes() -> None:
    preflight(NEED, CPU, {}, free(NEED.total + RESERVE))
    refusal(NEED, {}, free(NEED.total + RESERVE - 1))


def test_without_figures_the_machine_is_asked() -> None:
    preflight(Need(1, 0), CPU, {})
    with pytest.raises(MemoryShortageError, match=r"policy needs 1000000000\.00 GB"):
        preflight(Need(10**18, 0), CPU, {})


Usage = namedtuple("Usage", "total used free")


def test_room_on_a_disk_is_looked_up_where_the_file_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(64 * 10**9, 0, 12 * 10**8)

    monkeypatch.setattr("shutil.disk_usage", usage)
    target = tmp_path / "not" / "there" / "model.safetensors"
    assert free_disk(target) == 12 * 10**8
    assert asked == [tmp_path]
    check_disk(target, 12 * 10**8)
    message = f"{target} needs 3.71 GB of disk, 1.20 GB are free of 64.00 GB at {tmp_path}"
    with pytest.raises(ConversionError, match=re.escape(message)):
        check_disk(target, 3_710_000_000)


def test_this_disk_has_a_size(tmp_path: Path) -> None:
    assert free_disk(tmp_path) > 0


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (12_340_000, "12.3 MB"), (7_428_600_000, "7.43 GB")],
)
def test_sizes_are_written_in_their_largest_unit(size: int, text: str) -> None:
    assert size_text(size) == text
