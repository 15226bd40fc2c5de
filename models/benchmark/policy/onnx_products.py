"""Matrix products of ONNX Runtime: what its engine's steps are to be measured by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort  # type: ignore[import-untyped]
import torch
from onnx import TensorProto, helper, numpy_helper

from .roofline import Product, Shape

_OPSET, _IR = 20, 10
_ERROR = 3  # ONNX Runtime's level of log: errors only


def _single(shape: Shape, device: torch.device) -> Callable[[], object] | None:
    """Of float32 numbers."""
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((inner, columns), dtype=np.float32)
    node = helper.make_node("MatMul", ["given", "weight"], ["product"])
    given = rng.standard_normal((rows, inner), dtype=np.float32)
    return _run(node, {"weight": weight}, given, columns, TensorProto.FLOAT, device)


def _integer(shape: Shape, device: torch.device) -> Callable[[], object] | None:
    """Of unsigned integers about 128, as an export in int8 has them."""
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    weights = {
        "weight": rng.integers(1, 256, (inner, columns), dtype=np.uint8),
        "zero": np.array(128, np.uint8),
    }
    node = helper.make_node("MatMulInteger", ["given", "weight", "zero", "zero"], ["product"])
    given = rng.integers(1, 256, (rows, inner), dtype=np.uint8)
    return _run(node, weights, given, columns, TensorProto.INT32, device)


ONNX_PRODUCTS: dict[str, tuple[Product, ...]] = {"fp32": (_single,), "int8": (_integer,)}


def _run(
    node: onnx.NodeProto,
    weights: dict[str, np.ndarray],
    given: np.ndarray,
    columns: int,
    result: int,
    device: torch.device,
) -> Callable[[], object] | None:
    if device.type != "cpu":
        return None
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("given", helper.np_dtype_to_tensor_dtype(given.dtype), given.shape)],
        [helper.make_tensor_value_info("product", result, (len(given), columns))],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    options = ort.SessionOptions()
    options.log_severity_level = _ERROR
    options.intra_op_num_threads = torch.get_num_threads()
    # Else threads that wait in one session take the cores of what is measured next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"given": given})
