"""The heads and their losses compute what the peer framework's do."""

from collections import deque
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mobile_vla_models.head.gpt import GPTHead
from mobile_vla_models.head.lstm import LSTMHead
from mobile_vla_models.head.mlp import ActionHead
from mobile_vla_models.layers import Layer
from mobile_vla_models.loss import action_loss

FIXTURES = Path(__file__).parent / "fixtures"
WINDOW = 5
OURS = {"actions": "continuous", "gripper": "binary"}
MLP: tuple[Layer, ...] = (1024, "relu", 512, "relu", 256, "relu")


def lstm() -> LSTMHead:
    return LSTMHead(
        in_features=32,
        hidden_size=48,
        num_layers=4,
        dropout=0.0,
        mlp=MLP,
        squash="tanh",
        chunk=3,
        continuous=6,
        binary=1,
    )


def gpt() -> GPTHead:
    return GPTHead(
        in_features=32,
        hidden_size=48,
        num_layers=8,
        num_heads=8,
        dropout=0.1,
        window=WINDOW,
        mlp=MLP,
        squash="tanh",
        chunk=3,
        continuous=6,
        binary=1,
    )


def ours(key: str) -> str:
    group, rest = key.removeprefix("state_dict/").split(".", 1)
    return f"{OURS.get(group, group)}.{rest}"


@pytest.fixture(scope="module", params=["lstm", "gpt"])
def case(request: pytest.FixtureRequest) -> tuple[ActionHead, dict[str, Tensor]]:
    peer = load_file(FIXTURES / f"peer_{request.param}_head.safetensors")
    head = {"lstm": lstm, "gpt": gpt}[request.param]()
    head.load_state_dict({ours(key): value for key, value in peer.items() if key.startswith("state_dict/")})
    return head.eval(), peer


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_outputs_over_a_sequence(case: tuple[ActionHead, dict[str, Tensor]]) -> None:
    head, peer = case
    continuous, binary = head(peer["inputs/tok_seq"][:, :, 0])
    assert_close(continuous, peer["outputs/0"])
    assert_close(binary, peer["outputs/1"])


@pytest.mark.parametrize("masked", [True, False])
def test_losses(case: tuple[ActionHead, dict[str, Tensor]], masked: bool) -> None:
    head, peer = case
    continuous, binary = head(peer["inputs/tok_seq"][:, :, 0])
    labels = peer["inputs/labels/0"], peer["inputs/labels/1"].unsqueeze(-1)
    arm, gripper = action_loss(continuous, binary, *labels, peer["inputs/mask"] if masked else None, "huber")
    name = "loss_masked" if masked else "loss_unmasked"
    torch.testing.assert_close(arm, peer[f"{name}/loss_arm"], rtol=1e-5, atol=0.0)
    torch.testing.assert_close(gripper, peer[f"{name}/loss_gripper"], rtol=1e-5, atol=0.0)


def test_roll_out_past_the_window(case: tuple[ActionHead, dict[str, Tensor]]) -> None:
    """Twelve single frames: a pass over the last frames is what the peer's history inside the head comes to."""
    head, peer = case
    history: deque[Tensor] = deque(maxlen=WINDOW)
    for step in range(12):
        history.append(peer["inputs/tok_seq"][:1, step % WINDOW, 0] * (1 + 0.1 * step))
        continuous, binary = head(torch.stack(list(history), dim=1))
        assert_close(continuous[:, -1:], peer[f"rollout/{step}/0"])
        assert_close(binary[:, -1:], peer[f"rollout/{step}/1"])
