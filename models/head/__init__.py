"""Heads: features of a window of frames in, actions out."""

from __future__ import annotations

from ..configuration import FCHeadConfig, GPTHeadConfig, LSTMHeadConfig
from .fc import FCHead
from .gpt import GPTHead
from .lstm import LSTMHead
from .mlp import ActionHead

__all__ = ["ActionHead", "FCHead", "GPTHead", "LSTMHead", "build_head"]


def build_head(
    config: LSTMHeadConfig | GPTHeadConfig | FCHeadConfig,
    *,
    in_features: int,
    window: int,
    chunk: int,
    continuous: int,
    binary: int,
) -> ActionHead:
    """The head of a configuration.

    Args:
        config: its sizes.
        in_features: width of a frame's features.
        window: most frames it is called with.
        chunk: future steps.
        continuous: dimensions of the action spec's continuous group.
        binary: of its binary group.
    """
    if config.type == "lstm":
        return LSTMHead(
            in_features=in_features,
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            mlp=config.mlp,
            squash=config.squash,
            chunk=chunk,
            continuous=continuous,
            binary=binary,
        )
    if config.type == "gpt":
        return GPTHead(
            in_features=in_features,
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            dropout=config.dropout,
            window=window,
            mlp=config.mlp,
            squash=config.squash,
            chunk=chunk,
            continuous=continuous,
            binary=binary,
        )
    return FCHead(
        in_features=in_features,
        hidden_size=config.hidden_size,
        mlp=config.mlp,
        squash=config.squash,
        chunk=chunk,
        continuous=continuous,
        binary=binary,
    )
