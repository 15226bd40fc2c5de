"""torch.compile: whether it works here, and modules that it runs."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import PolicyDirectoryError
from ..quantization.cpu import has_bfloat16, has_int8

# What the processor computes natively does not change, and how it is found out is nothing to compile.
for _asked in (has_bfloat16, has_int8):
    torch.compiler.assume_constant_result(_asked)
# torch compiles anew for another number of threads, as for another shape, and gives up after this many times.
_VARIANTS = 64


def compiled(module: nn.Module) -> nn.Module:
    """A module that is compiled at its first call with each shape of inputs, which can take minutes.

    On a CPU the weights are constants of what is compiled, laid out once as its matrix products want them: that takes
    their memory a second time, and a fifth off the step.
    """
    if all(parameter.device.type == "cpu" for parameter in module.parameters()):
        import torch._inductor.config as inductor  # takes a while, and few compile

        inductor.freezing = True
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, _VARIANTS)
    # mypy takes the overload for functions.
    wrapped: nn.Module = torch.compile(module, dynamic=False, fullgraph=True)  # type: ignore[assignment]
    return wrapped


def check_compiler(device: torch.device) -> None:
    """Compile something small.

    Raises:
        PolicyDirectoryError: torch cannot compile for the device; says what is missing.
    """
    try:
        torch.compile(torch.nn.functional.silu, dynamic=False, fullgraph=True)(torch.ones(64, device=device))
    # Of torch's own errors, and those of the compilers that it calls, this is the only common base.
    except RuntimeError as error:
        needs = "Triton and a C++ compiler" if device.type == "cuda" else "a C++ compiler"
        raise PolicyDirectoryError(
            f"engine torch-compile needs {needs}, and the headers of Python; on {device}: {_reason(error)}"
        ) from error


def _reason(error: RuntimeError) -> str:
    """The line of an error that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "error:" in line]
    return (said or lines or [type(error).__name__])[0]
