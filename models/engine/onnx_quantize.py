"""Matrix products of an ONNX graph in 8 bits: weights rounded when they are written, activations when they come.

Of the operators of the standard, for CPUs. A weight has a scale for each column; an activation one for each token, so
that one token's outliers do not take the others' digits.

Both factors are unsigned, symmetric about 128. Signed 8-bit weights would be faster by a quarter on a processor with
AVX2 and no VNNI, where their products saturate at 16 bits: wrong, silently, and only there. Seven bits never saturate,
and cost a bit of precision on every machine. Unsigned factors are exact everywhere and as fast as any with VNNI and on
Arm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

_ZERO = 128
_LARGEST = 127
# Of a row of zeros; anything else is far above.
_LEAST = 1e-20


def quantise_products(model: ir.Model) -> int:
    """Replace products with float32 weights (k, n) in place; weights are still not read.

    Returns:
        how many.
    """
    graph = model.graph
    zero = _constant(graph, "zero_of_weights", np.uint8(_ZERO))
    least = _constant(graph, "least_of_a_row", np.float32(_LEAST))
    last = _constant(graph, "last_axis", np.array([-1], np.int64))
    rounded: dict[ir.Value, _Rounded] = {}
    count = 0
    for node in list(graph):
        given, weight = (node.inputs[0], node.inputs[1]) if node.op_type == "MatMul" else (None, None)
        if given is None or weight is None or weight.const_value is None or weight.dtype != ir.DataType.FLOAT:
            continue
        tensor = weight.const_value
        if len(tensor.shape) != 2 or weight.name is None:
            continue
        if given not in rounded:
            rounded[given] = _round(node, given, least, last)
        integers = rounded[given]
        shape = ir.Shape([int(size) for size in tensor.shape.numpy()])
        columns = ir.Shape([shape[1]])
        matrix = _initialiser(graph, f"{weight.name}.u8", ir.DataType.UINT8, shape, _integers(tensor))
        scales = _initialiser(graph, f"{weight.name}.scale", ir.DataType.FLOAT, columns, _scales(tensor))
        # In this order ONNX Runtime makes one kernel of all but the last.
        product = _before(node, "MatMulInteger", [integers.values, matrix, integers.zero, zero], ir.DataType.INT32)
        product = _before(node, "Cast", [product], ir.DataType.FLOAT, {"to": int(ir.DataType.FLOAT)})
        both = _before(node, "Mul", [integers.scale, scales], ir.DataType.FLOAT)
        product = _before(node, "Mul", [product, both], ir.DataType.FLOAT)
        product = _before(node, "Mul", [product, integers.rows], ir.DataType.FLOAT)
        product.shape = node.outputs[0].shape
        node.outputs[0].replace_all_uses_with(product, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        if not weight.uses():
            graph.initializers.pop(weight.name)
        count += 1
    return count


class _Rounded(NamedTuple):
    """An activation (..., k) as unsigned integers.

    (values - zero) * scale * rows is about the activation; `rows` (..., 1) has the size of each token.
    """

    values: ir.Value
    scale: ir.Value
    zero: ir.Value
    rows: ir.Value


def _round(node: ir.Node, given: ir.Value, least: ir.Value, last: ir.Value) -> _Rounded:
    size = _before(node, "Abs", [given], ir.DataType.FLOAT)
    size = _before(node, "ReduceMax", [size, last], ir.DataType.FLOAT, {"keepdims": 1})
    rows = _before(node, "Max", [size, least], ir.DataType.FLOAT)
    shares = _before(node, "Div", [given, rows], ir.DataType.FLOAT)
    made = ir.node("DynamicQuantizeLinear", [shares], num_outputs=3)
    for value, dtype in zip(made.outputs, (ir.DataType.UINT8, ir.DataType.FLOAT, ir.DataType.UINT8), strict=True):
        value.dtype = dtype
    _insert(node, made)
    values, scale, zero = made.outputs
    return _Rounded(values, scale, zero, rows)


def _insert(node: ir.Node, made: ir.Node) -> None:
    if node.graph is None:
        raise TypeError(f"{node} stands in no graph")
    node.graph.insert_before(node, made)


def _before(
    node: ir.Node,
    kind: str,
    inputs: list[ir.Value],
    dtype: ir.DataType,
    attributes: dict[str, int] | None = None,
) -> ir.Value:
    """The output of a new node in front of another."""
    made = ir.node(kind, inputs, attributes or {})
    made.outputs[0].dtype = dtype
    _insert(node, made)
    return made.outputs[0]


def _constant(graph: ir.Graph, name: str, value: NDArray[np.generic] | np.generic) -> ir.Value:
    array = np.asarray(value)
    made = ir.Value(name=name, type=ir.TensorType(ir.DataType.from_numpy(array.dtype)), shape=ir.Shape(array.shape))
    made.const_value = ir.Tensor(array, name=name)
    graph.register_initializer(made)
    return made


def _initialiser(
    graph: ir.Graph, name: str, dtype: ir.DataType, shape: ir.Shape, make: Callable[[], ir.TensorProtocol]
) -> ir.Value:
    if name in graph.initializers:
        return graph.initializers[name]
    value = ir.Value(name=name, type=ir.TensorType(dtype), shape=shape)
    value.const_value = ir.LazyTensor(make, dtype, shape, name=name)
    graph.register_initializer(value)
    return value


def _column_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    largest = np.maximum(weight.max(axis=0), -weight.min(axis=0))
    scales: NDArray[np.float32] = np.maximum(largest / np.float32(_LARGEST), np.float32(_LEAST))
    return scales


def _scales(tensor: ir.TensorProtocol) -> Callable[[], ir.TensorProtocol]:
    return lambda: ir.Tensor(_column_scales(tensor.numpy()))


def _integers(tensor: ir.TensorProtocol) -> Callable[[], ir.TensorProtocol]:
    def make() -> ir.TensorProtocol:
        weight = tensor.numpy()
        shares = weight / _column_scales(weight)
        np.rint(shares, out=shares)
        shares += _ZERO
        return ir.Tensor(shares.astype(np.uint8))

    return make
