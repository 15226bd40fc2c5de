"""Names of precisions, and what devices say to them."""

import pytest
import torch

from mobile_vla_models.errors import PrecisionError
from mobile_vla_models.quantization import Precision, check_device, cpu, slow_on

CPU = torch.device("cpu")


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch):
    return lambda *names: monkeypatch.setattr(cpu, "cpu_flags", lambda: frozenset(names))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch):
    def make(capability: tuple[int, int]) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Board")
        monkeypatch.setattr(torch.version, "cuda", "12.6")

    return make


def test_names() -> None:
    assert [item.value for item in Precision] == ["fp32", "fp16", "bf16", "int8", "w8a8", "int4"]
    assert Precision("int4") is Precision.INT4
    with pytest.raises(PrecisionError, match="'int9' is unknown, expected one of fp32, fp16, bf16, int8, w8a8, int4"):
        Precision("int9")


def test_types_and_bits() -> None:
    assert Precision.FP32.dtype is torch.float32
    assert Precision.FP16.dtype is torch.float16
    assert all(
        item.dtype is torch.bfloat16 for item in (Precision.BF16, Precision.INT8, Precision.W8A8, Precision.INT4)
    )
    assert [item.bits for item in Precision] == [32, 16, 16, 8.015625, 8.015625, 4.1875]
    assert [item.value for item in Precision if item.quantised] == ["int8", "w8a8", "int4"]


@pytest.mark.parametrize("precision", list(Precision))
def test_every_processor_runs_every_precision(precision: Precision) -> None:
    check_device(precision, CPU)


def test_cuda_before_ampere_has_no_bfloat16(cuda) -> None:
    cuda((7, 5))
    for precision in (Precision.FP32, Precision.FP16):
        check_device(precision, torch.device("cuda"))
    for precision in (Precision.BF16, Precision.INT8, Precision.W8A8, Precision.INT4):
        with pytest.raises(PrecisionError, match=rf"{precision.value} .*8\.0; Board has 7\.5: take fp16"):
            check_device(precision, torch.device("cuda:0"))


@pytest.mark.parametrize("precision", list(Precision))
def test_orin_runs_all(precision: Precision, cuda) -> None:
    cuda((8, 7))
    check_device(precision, torch.device("cuda"))


def test_a_torch_without_int8_products(cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda((8, 7))
    monkeypatch.delattr(torch, "_int_mm")
    check_device(Precision.INT8, torch.device("cuda"))
    with pytest.raises(PrecisionError, match="_int_mm"):
        check_device(Precision.W8A8, torch.device("cuda"))


def test_devices_that_are_not_there(cuda) -> None:
    cuda((8, 7))
    with pytest.raises(PrecisionError, match=r"cuda:1 does not exist.* sees 1 CUDA"):
        check_device(Precision.FP16, torch.device("cuda:1"))
    check_device(Precision.FP16, torch.device("mps"))
    with pytest.raises(PrecisionError, match="int8 runs on cpu and cuda, not on mps"):
        check_device(Precision.INT8, torch.device("mps"))


def test_warnings_on_a_plain_x86(flags) -> None:
    flags("avx2", "fma")
    assert slow_on(Precision.FP32, CPU) is None
    assert "emulates float16" in str(slow_on(Precision.FP16, CPU))
    assert "emulates bfloat16" in str(slow_on(Precision.BF16, CPU))
    assert "emulates bfloat16" in str(slow_on(Precision.INT4, CPU))
    assert "no int8 matrix product" in str(slow_on(Precision.W8A8, CPU))
    assert slow_on(Precision.FP16, torch.device("cuda")) is None


def test_processors_that_are_at_home(flags) -> None:
    flags("avx512_bf16", "avx512_vnni", "avx512_fp16")
    assert [slow_on(precision, CPU) for precision in Precision] == [None] * 6
    flags("asimdhp", "fphp")
    assert slow_on(Precision.FP16, CPU) is None
    assert slow_on(Precision.BF16, CPU) is not None
