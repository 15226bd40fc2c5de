"""The parts in ONNX Runtime: on TensorRT, CUDA or the CPU, whichever of them is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
import torch
from torch import Tensor

from ..errors import PolicyDirectoryError
from .onnx_manifest import Export, GraphFile
from .parts import Prepared

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
# Least, usual and most words beside the pictures that TensorRT builds for; with others it builds anew.
_WORDS = (2, 24, 96)
_ERROR = 3
_NUMPY = {torch.float32: np.float32, torch.int64: np.int64}


class OnnxParts:
    """Sessions of ONNX Runtime over an export.

    Tensors are torch's on both sides: the sessions read and write their memory, on the CPU as on CUDA.

    Args:
        folder: of the export.
        export: its content, checked.
        window: most frames that the head is called with.
        threads: of a session on the CPU; None: as ONNX Runtime thinks.
        in_memory: Read weights on the CPU into memory. Otherwise ONNX Runtime maps the files of those that it does not
            rearrange.

    Attributes:
        device: where tensors come from, and where those are best that go in.

    Raises:
        PolicyDirectoryError: ONNX Runtime does not load a graph.
    """

    def __init__(
        self, folder: Path, export: Export, window: int, threads: int | None = None, in_memory: bool = False
    ) -> None:
        self._export, self._threads = export, threads
        self._wanted, self._refused = _providers(export)
        self._sessions = {
            name: _Session(folder, name, graph, self._options(folder, graph, window), threads, in_memory)
            for name, graph in export.graphs.items()
        }
        for session in self._sessions.values():
            session.device = self.device

    @property
    def device(self) -> torch.device:
        """Where tensors come from: CUDA, where ONNX Runtime and torch both have it."""
        on_cuda = any(name != CPU for session in self._sessions.values() for name in session.providers)
        return torch.device("cuda" if on_cuda and torch.cuda.is_available() else "cpu")

    def describe(self) -> str:
        """What runs, where, and why not elsewhere, in a line."""
        used = {name: session.providers[0] for name, session in self._sessions.items()}
        places = ", ".join(f"{name} on {_short(provider)}" for name, provider in used.items())
        if len(set(used.values())) == 1:
            places = f"on {_short(next(iter(used.values())))}"
        threads = "its own number of" if self._threads is None else self._threads
        reasons = dict(self._refused)
        for provider in self._wanted:
            if not any(provider in session.providers for session in self._sessions.values()):
                reasons[provider] = "it did not start"
        why = "".join(f"; not {_short(name)}: {reason}" for name, reason in reasons.items())
        return f"ONNX Runtime {ort.__version__}, {self._export.dtype}, {places}, {threads} threads{why}"

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.see`."""
        latents, pooled = self._run("vision", pixels)
        return latents, pooled

    def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
        """See `Parts.read`."""
        return self._run("text", latents, prepared.words, prepared.source, prepared.positions, prepared.read)[0]

    def clip(self, pixels: Tensor, prepared: Prepared) -> tuple[Tensor, ...]:
        """See `Parts.clip`."""
        compares = "prompts" in self._export.graphs["clip"].inputs
        return tuple(self._run("clip", pixels, *([prepared.clip_prompts] if compares else [])))

    def fuse(self, features: Tensor) -> Tensor:
        """See `Parts.fuse`."""
        return self._run("fusion", features)[0] if "fusion" in self._sessions else features

    def act(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.act`."""
        found = self._run("head", window)
        return found[0], found[1] if len(found) > 1 else found[0].new_empty(len(found[0]), 0)

    def _run(self, name: str, *given: Tensor) -> list[Tensor]:
        return self._sessions[name].run(*given)

    def _options(self, folder: Path, graph: GraphFile, window: int) -> list[tuple[str, dict[str, Any]]]:
        options: list[tuple[str, dict[str, Any]]] = []
        for provider in self._wanted:
            chosen: dict[str, Any] = {}
            if provider == TENSORRT:
                cache = folder / "tensorrt"
                chosen = {
                    "trt_fp16_enable": self._export.dtype == "fp16",
                    "trt_engine_cache_enable": True,
                    "trt_engine_cache_path": str(cache / "engines"),
                    "trt_timing_cache_enable": True,
                    "trt_timing_cache_path": str(cache / "timing"),
                    **_profile(graph, window),
                }
                for part in ("engines", "timing"):
                    (cache / part).mkdir(parents=True, exist_ok=True)
            options.append((provider, chosen))
        return options


class _Session:
    def __init__(
        self,
        folder: Path,
        name: str,
        graph: GraphFile,
        providers: list[tuple[str, dict[str, Any]]],
        threads: int | None,
        in_memory: bool,
    ) -> None:
        self._path, self._graph = folder / f"{name}.onnx", graph
        self.device = torch.device("cpu")
        options = ort.SessionOptions()
        # Warnings are of nodes that a provider leaves to the CPU; errors are raised anyway.
        options.log_severity_level = _ERROR
        # The parts run one after the other: threads that wait in one session would take the next one's cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        # Versions before 1.23 may not have it: their files stay mapped. Those for GPUs are copied there anyway.
        on_cpu = [provider for provider, _ in providers] == [CPU]
        if in_memory and on_cpu and hasattr(options, "add_external_initializers_from_files_in_memory"):
            names = [name for name in graph.files if name != self._path.name]
            contents = [(folder / name).read_bytes() for name in names]  # to be kept until the session has started
            options.add_external_initializers_from_files_in_memory(names, contents, list(map(len, contents)))
        try:
            self._session = ort.InferenceSession(self._path, options, providers=providers)
        # The classes of ONNX Runtime's errors have no base of their own.
        except Exception as error:
            raise PolicyDirectoryError(
                f"{self._path}: ONNX Runtime {ort.__version__} does not load it ({error})"
            ) from error

    @property
    def providers(self) -> list[str]:
        """Those that started, in order."""
        return list(self._session.get_providers())

    def run(self, *given: Tensor) -> list[Tensor]:
        """Inputs in the graph's order -> outputs, on `device`."""
        binding = self._session.io_binding()
        # What is bound must live until the run ends.
        bound = [
            _as_wanted(tensor, wanted.dtype) for tensor, wanted in zip(given, self._graph.inputs.values(), strict=True)
        ]
        for (name, wanted), tensor in zip(self._graph.inputs.items(), bound, strict=True):
            _check(self._path, name, wanted.sizes, tensor)
            place = tensor.device
            binding.bind_input(
                name, place.type, place.index or 0, _NUMPY[tensor.dtype], tuple(tensor.shape), tensor.data_ptr()
            )
        outputs = [torch.empty(sizes, device=self.device) for sizes in self._graph.outputs.values()]
        for name, tensor in zip(self._graph.outputs, outputs, strict=True):
            binding.bind_output(
                name, self.device.type, self.device.index or 0, np.float32, tuple(tensor.shape), tensor.data_ptr()
            )
        if self.device.type == "cuda":
            # ONNX Runtime has a stream of its own: what torch still computes would be read too early.
            torch.cuda.current_stream().synchronize()
        self._session.run_with_iobinding(binding)
        return outputs


def _as_wanted(tensor: Tensor, dtype: str) -> Tensor:
    return tensor.to(getattr(torch, dtype)).contiguous()


def _check(path: Path, name: str, sizes: tuple[int | str, ...], tensor: Tensor) -> None:
    """ONNX Runtime takes the pointer at its word."""
    fits = len(sizes) == tensor.dim() and all(
        isinstance(size, str) or size == found for size, found in zip(sizes, tensor.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{path}: {name} has shape {tuple(tensor.shape)}, expected {sizes}")


def _providers(export: Export) -> tuple[list[str], dict[str, str]]:
    """Providers to ask for, in order, and why not the others."""
    available = ort.get_available_providers()
    wanted, refused = [], {}
    for provider in (TENSORRT, CUDA):
        if provider not in available:
            refused[provider] = "this onnxruntime was built without it"
        elif export.dtype == "int8":
            refused[provider] = "it has no kernels for an export in int8, which is for CPUs"
        else:
            wanted.append(provider)
    return [*wanted, CPU], refused


def ranges_of(graph: GraphFile, window: int) -> dict[str, list[tuple[int, ...]]]:
    """Least, usual and greatest sizes of each input, for TensorRT; none for a graph whose sizes do not change."""
    if not any(isinstance(size, str) for given in graph.inputs.values() for size in given.sizes):
        return {}
    pictures = int(graph.inputs["latents"].sizes[1]) if "latents" in graph.inputs else 0
    ranges = {
        "words": _WORDS,
        "length": (_WORDS[0] + pictures, _WORDS[1] + pictures, _WORDS[2] + pictures),
        "reads": (1, _WORDS[1], _WORDS[2] + pictures),
        "frames": (1, window, window),
    }
    return {
        name: [
            tuple(ranges[size][which] if isinstance(size, str) else size for size in given.sizes) for which in range(3)
        ]
        for name, given in graph.inputs.items()
    }


def _profile(graph: GraphFile, window: int) -> dict[str, str]:
    """As options of ONNX Runtime's provider."""
    ranges = ranges_of(graph, window)
    if not ranges:
        return {}
    return {
        f"trt_profile_{kind}_shapes": ",".join(
            f"{name}:{'x'.join(str(size) for size in shapes[which])}" for name, shapes in ranges.items()
        )
        for which, kind in enumerate(("min", "opt", "max"))
    }


def _short(provider: str) -> str:
    return {TENSORRT: "TensorRT", CUDA: "CUDA", CPU: "the CPU"}.get(provider, provider)
