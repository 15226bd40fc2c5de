"""TensorRT engines of an export, by the Python API of TensorRT 10 that comes with JetPack 6.

Not run where it was written: there was no TensorRT. ONNX Runtime's provider builds engines of its own (see
`OnnxParts`) and keeps the ONNX weights beside them; these here stand alone. On the robot:
`python -m mobile_vla_models.engine.tensorrt_build POLICY/onnx POLICY/tensorrt --window WINDOW`
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..errors import PolicyDirectoryError
from .onnx_manifest import FILE, Export, GraphFile
from .onnx_parts import ranges_of

# Bytes that a layer may take while it is tried out.
_WORKSPACE = 2**30


def build(folder: Path, target: Path, window: int) -> None:
    """Build an engine `NAME.engine` of each graph, with a timing cache `timing.cache` that the next build reads.

    Args:
        folder: of an export in fp32 or fp16; that in int8 holds operators that TensorRT does not know.
        target: folder of the engines; they fit this GPU and this version of TensorRT only.
        window: most frames that the head is called with.

    Raises:
        PolicyDirectoryError: no export, one in int8, or a graph that TensorRT does not build.
    """
    import tensorrt as trt  # type: ignore[import-not-found]

    export = Export.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    if export.dtype == "int8":
        raise PolicyDirectoryError(f"{folder} is in int8, for CPUs; TensorRT takes an export in fp16 or fp32")
    target.mkdir(parents=True, exist_ok=True)
    logger = trt.Logger(trt.Logger.INFO)
    timing = target / "timing.cache"
    for name, graph in export.graphs.items():
        builder = trt.Builder(logger)
        # Strongly typed: fp16 where the graph says so, float32 in fusion and head.
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(folder / f"{name}.onnx")):
            errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
            raise PolicyDirectoryError(f"{folder / name}.onnx: TensorRT {trt.__version__} does not parse it ({errors})")
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE)
        cache = config.create_timing_cache(timing.read_bytes() if timing.is_file() else b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
        _add_profile(builder, config, graph, window)
        serialized = builder.build_serialized_network(network, config)
        if serialized is None:
            raise PolicyDirectoryError(f"{folder / name}.onnx: TensorRT {trt.__version__} builds no engine of it")
        _write(target / f"{name}.engine", serialized)
        _write(timing, config.get_timing_cache().serialize())


def _add_profile(builder: Any, config: Any, graph: GraphFile, window: int) -> None:
    ranges = ranges_of(graph, window)
    if ranges:
        profile = builder.create_optimization_profile()
        for name, (least, usual, most) in ranges.items():
            profile.set_shape(name, least, usual, most)
        config.add_optimization_profile(profile)


def _write(path: Path, content: Any) -> None:
    staging = path.with_name(f".{path.name}.new")
    staging.write_bytes(memoryview(content))
    staging.rename(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Build TensorRT engines of an export.")
    parser.add_argument("export", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--window", type=int, required=True, help="of the policy's config.json")
    given = parser.parse_args()
    try:
        build(given.export, given.target, given.window)
    except (PolicyDirectoryError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
