"""Products in 8 bits against the exact ones."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort  # type: ignore[import-untyped]
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mobile_vla_models.engine.onnx_quantize import quantise_products

Array = NDArray[np.float32]
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(256, 64)).astype(np.float32) * np.geomspace(0.01, 10, 64, dtype=np.float32)


def _product(given: Array, weight: Array) -> Array:
    """`given @ weight`, quantised; twice from one input, to see that sharing works."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["one"]),
            helper.make_node("MatMul", ["x", "v"], ["two"]),
            helper.make_node("Sub", ["one", "two"], ["y"]),
        ],
        "products",
        [info("x", TensorProto.FLOAT, ["n", weight.shape[0]])],
        [info("y", TensorProto.FLOAT, ["n", weight.shape[1]])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.zeros_like(weight), "v")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = ir.from_proto(made)
    assert quantise_products(model) == 2
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {"x": given})[0]
    return found


def _errors(found: Array, expected: Array) -> Array:
    """Of each column, relative."""
    return np.linalg.norm(found - expected, axis=0) / np.linalg.norm(expected, axis=0)


def test_a_column_is_as_exact_as_any_other() -> None:
    given = RNG.normal(size=(90, 256)).astype(np.float32)
    assert _errors(_product(given, WEIGHT), given @ WEIGHT).max() < 0.02


def test_one_token_takes_nothing_from_the_others() -> None:
    given = RNG.normal(size=(90, 256)).astype(np.float32)
    loud = given.copy()
    loud[7] *= 1e4
    others = np.arange(90) != 7
    assert _errors(_product(loud, WEIGHT)[others], (given @ WEIGHT)[others]).max() < 0.02


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_greatest_factors_do_not_saturate(sign: int) -> None:
    """Where 16 bits are not enough for two products, as on a processor without VNNI with signed weights."""
    given = np.full((3, 256), 2.0, np.float32)
    weight = np.full((256, 8), sign * 3.0, np.float32)
    np.testing.assert_allclose(_product(given, weight), given @ weight, rtol=1e-5)


def test_nothing_in_gives_nothing() -> None:
    given = np.zeros((2, 256), np.float32)
    np.testing.assert_array_equal(_product(given, WEIGHT), np.zeros((2, 64)))
    empty = np.zeros((256, 8), np.float32)
    np.testing.assert_array_equal(_product(given + 1, empty), np.zeros((2, 8)))
