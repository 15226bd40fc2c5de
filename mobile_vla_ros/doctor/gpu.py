"""Checks of what computes the policy."""

from __future__ import annotations

from .finding import Finding, error, ok, warning
from .probe import Package
from .sizes import size_text


def check_torch_gpu(torch: Package, hardware: str | None) -> Finding:
    """Whether torch can use the GPU that the machine has.

    Args:
        torch: as probed.
        hardware: what GPU there is, such as "Jetson"; None: none is known.
    """
    if torch.version is None:
        return error("GPU (torch)", "torch cannot be imported", "see torch above")
    if torch.facts["cuda"]:
        free, total = size_text(torch.facts["free"]), size_text(torch.facts["total"])
        found = f"{torch.facts['device']}, CUDA {torch.facts['cuda_build']}, {free} of {total} free"
        return ok("GPU (torch)", found)
    if hardware is None:
        return ok("GPU (torch)", "none; the policy runs on the CPU (device: cpu)")
    if torch.facts["cuda_build"] is None:
        return warning(
            "GPU (torch)",
            f"there is a {hardware}, but torch {torch.version} was built without CUDA",
            "another pip install has probably replaced it: install NVIDIA's build again, --force-reinstall --no-deps "
            "(docs/jetson.md)",
        )
    return warning(
        "GPU (torch)",
        f"there is a {hardware}, but torch {torch.version} for CUDA {torch.facts['cuda_build']} cannot use it",
        "the driver must be as new as that CUDA, and the user in the groups video and render; in a container: "
        "--runtime nvidia",
    )


def check_onnx_gpu(onnxruntime: Package, hardware: str | None) -> Finding | None:
    """Which providers ONNX Runtime has; None where it is not installed."""
    if onnxruntime.version is None:
        return None
    providers = onnxruntime.facts["providers"]
    names = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    if hardware is not None and not {"CUDAExecutionProvider", "TensorrtExecutionProvider"} & set(providers):
        return warning(
            "GPU (onnxruntime)",
            f"{names}; there is a {hardware}",
            "onnxruntime-gpu in place of onnxruntime, not beside it (docs/jetson.md); only for engine: onnx",
        )
    return ok("GPU (onnxruntime)", names)
