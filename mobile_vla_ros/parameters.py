"""Parameters of our nodes: typed, described, within a range; unknown ones are refused."""

from __future__ import annotations

from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from .images import ENCODINGS, MAX_SIZE, ImageRules
from .robot_node import KINDS, StartError

QOS = "qos_overrides."  # what the parameters of QoS overrides begin with; rclpy declares them with their topic
Value = TypeVar("Value", bool, int, float, str)


def declare(
    node: Node,
    name: str,
    default: Value,
    description: str,
    *,
    between: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    changeable: bool = False,
) -> Value:
    """Declare a parameter; the value it got from file or command line, else `default`.

    Args:
        node: whose parameter.
        name: of the parameter.
        default: also fixes the type; where that is a float, an integer will do.
        description: for `ros2 param describe`; with the unit.
        between: range of a number, ends included.
        choices: the allowed texts; empty: any.
        changeable: while the node runs; else it is read-only.

    Raises:
        rclpy.exceptions.ParameterException: out of range; the message names the parameter.
        StartError: Wrong type, or none of `choices`.
    """
    descriptor = ParameterDescriptor(description=description, read_only=not changeable)
    if choices:
        descriptor.additional_constraints = f"one of {', '.join(choices)}"
    if between is not None and isinstance(default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=between[0], to_value=between[1])]
    elif between is not None:
        whole = IntegerRange(from_value=int(between[0]), to_value=int(between[1]), step=1)
        descriptor.integer_range = [whole]
    given = node._parameter_overrides.get(name)  # rclpy has no public way to ask
    start = default if given is None else given.value
    if isinstance(default, float) and type(start) is int:
        start = float(start)
    if type(start) is not type(default):
        raise StartError(f"parameter {name} is {start!r}: expected {KINDS[type(default)]}")
    value: Value = node.declare_parameter(name, start, descriptor, ignore_override=True).value
    if choices and value not in choices:
        raise StartError(f"parameter {name} is {value!r}: expected one of {', '.join(choices)}")
    return value


def declare_images(node: Node) -> ImageRules:
    """Declare the parameters that say what the cameras' images may be.

    Raises:
        rclpy.exceptions.ParameterException: Wrong type or out of range; the message names the parameter.
        StartError: An encoding that is not supported.
    """
    return ImageRules(
        declare(
            node,
            "encoding",
            "",
            "Encoding of the cameras' images where their messages do not say it, such as bgr8 where they say 8UC3; "
            "empty: as the messages say. Depth and other images of 16 or 32 bits a value stay refused.",
            choices=("", *ENCODINGS),
        ),
        declare(node, "max_image_width", MAX_SIZE, "Largest width of an image, in pixels", between=(1, 65535)),
        declare(node, "max_image_height", MAX_SIZE, "Largest height of an image, in pixels", between=(1, 65535)),
    )


def refuse_unknown(node: Node, later: tuple[str, ...] = ()) -> None:
    """Refuse parameters that were given but not declared; to be called when all have been declared.

    A misspelt name must not leave a robot with a value that its owner did not mean.

    Args:
        node: whose parameters.
        later: names that will still be declared, and, with a dot at their end, what such names begin with.

    Raises:
        StartError: the message names the unknown parameters, and all known ones.
    """
    given = node._parameter_overrides  # rclpy has no public way to ask
    groups = tuple(name for name in later if name.endswith("."))
    unknown = sorted(
        name for name in given if not (node.has_parameter(name) or name in later or name.startswith(groups))
    )
    if unknown:
        known = ", ".join(sorted([*node.get_parameters_by_prefix(""), *later]))
        raise StartError(f"unknown parameter {', '.join(unknown)}; known: {known}")
