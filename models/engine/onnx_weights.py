"""Weights into ONNX graphs: each is read from the policy's file when it is written, and forgotten again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from ..checkpoint.content import mapped
from ..checkpoint.entry import TensorEntry
from ..checkpoint.reader import read_checkpoint, state_dict
from ..errors import CheckpointError, PolicyDirectoryError
from .onnx_graphs import Graph, Recipe


class WeightFile:
    """The tensors of a policy's model.safetensors.

    Raises:
        PolicyDirectoryError: not readable.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._entries, _ = state_dict(read_checkpoint(path))
        except CheckpointError as error:
            raise PolicyDirectoryError(str(error)) from error
        self._path = path

    def make(self, recipe: Recipe, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """What a recipe comes to; a float32 tensor of the file is its mapping, which ends with the tensor.

        Raises:
            PolicyDirectoryError: a tensor is missing, of another shape, not finite, or beyond the numbers of `dtype`.
        """
        tensors = [mapped(self._entry(name)).float() for name in recipe.names]
        try:
            made = recipe.make(*tensors)
        except RuntimeError as error:
            raise PolicyDirectoryError(f"{self._path} does not fit config.json: {recipe.names} ({error})") from error
        if tuple(made.shape) != shape:
            raise PolicyDirectoryError(
                f"{self._path} does not fit config.json: {recipe.names[0]} comes to {tuple(made.shape)}, "
                f"expected {shape}"
            )
        result = made.to(dtype)
        if not bool(torch.isfinite(result).all()):
            raise PolicyDirectoryError(f"{self._path}: {recipe.names[0]} is not finite as {dtype}")
        return result

    def _entry(self, name: str) -> TensorEntry:
        if name not in self._entries:
            raise PolicyDirectoryError(f"{self._path} does not fit config.json: missing {name}")
        return self._entries[name]


def put_weights(model: ir.Model, graph: Graph, file: WeightFile) -> None:
    """Let a graph's initialisers come from the file; nothing is read yet.

    Raises:
        TypeError: the exporter made an initialiser that no recipe is of.
    """
    for name, value in model.graph.initializers.items():
        if name in graph.recipes:
            value.const_value = _weight(value, graph.recipes[name], file)
        elif value.const_value is None or value.const_value.size > 1024:
            raise TypeError(f"{graph.name}.onnx has an initialiser {name} of {value.shape} that is no weight")


def fold_transposes(model: ir.Model) -> None:
    """Let transposed weights be initialisers, so that no session turns them around when it starts, in memory."""
    for node in list(model.graph):
        source = node.inputs[0] if node.op_type == "Transpose" else None
        if source is None or source.const_value is None or source.name is None:
            continue
        axes = node.attributes["perm"].as_ints()
        tensor = source.const_value
        shape = ir.Shape([int(tensor.shape.numpy()[axis]) for axis in axes])
        name = f"{source.name}.transposed"
        if name not in model.graph.initializers:
            turned = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape)
            turned.const_value = ir.LazyTensor(_turned(tensor, axes), tensor.dtype, shape, name=name)
            model.graph.register_initializer(turned)
        node.outputs[0].replace_all_uses_with(model.graph.initializers[name])
        model.graph.remove(node, safe=True)
        if not source.uses() and not source.is_graph_output():
            model.graph.initializers.pop(source.name)


def _turned(tensor: ir.TensorProtocol, axes: Sequence[int]) -> Callable[[], ir.TensorProtocol]:
    return lambda: ir.Tensor(np.ascontiguousarray(tensor.numpy().transpose(axes)))


def _weight(value: ir.Value, recipe: Recipe, file: WeightFile) -> ir.TensorProtocol:
    if value.dtype is None or value.shape is None or value.name is None:
        raise TypeError(f"initialiser {value.name} has no dtype or shape")
    shape = tuple(int(size) for size in value.shape.numpy())
    dtype = {ir.DataType.FLOAT: torch.float32, ir.DataType.FLOAT16: torch.float16}[value.dtype]

    def make() -> ir.TensorProtocol:
        return ir.Tensor(file.make(recipe, shape, dtype).numpy())

    return ir.LazyTensor(make, value.dtype, value.shape, name=value.name)
