"""The LSTM head computes what the peer framework's does."""

from collections import deque
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mobile_vla_models.head import LSTMHead, action_loss

FIXTURE = Path(__file__).parent / "fixtures" / "peer_lstm_head.safetensors"
WINDOW, CHUNK = 5, 3


@pytest.fixture(scope="module")
def peer() -> dict[str, Tensor]:
    return load_file(FIXTURE)


@pytest.fixture(scope="module")
def head(peer: dict[str, Tensor]) -> LSTMHead:
    head = LSTMHead(
        in_features=32,
        hidden_size=48,
        num_layers=4,
        mlp=(1024, 512, 256),
        chunk=CHUNK,
        continuous=6,
        binary=1,
    )
    ours = {"actions": "continuous", "gripper": "binary", "rnn": "rnn"}
    state = {}
    for key, value in peer.items():
        if key.startswith("state_dict/"):
            group, rest = key.removeprefix("state_dict/").split(".", 1)
            state[f"{ours[group]}.{rest}"] = value
    head.load_state_dict(state)
    return head.eval()


def test_outputs_over_a_sequence(head: LSTMHead, peer: dict[str, Tensor]) -> None:
    continuous, binary = head(peer["inputs/tok_seq"][:, :, 0])
    torch.testing.assert_close(continuous, peer["outputs/0"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(binary, peer["outputs/1"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_losses(head: LSTMHead, peer: dict[str, Tensor], masked: bool) -> None:
    continuous, binary = head(peer["inputs/tok_seq"][:, :, 0])
    mask = peer["inputs/mask"].bool() if masked else None
    arm, gripper = action_loss(continuous, binary, peer["inputs/labels/0"], peer["inputs/labels/1"].unsqueeze(-1), mask)
    name = "loss_masked" if masked else "loss_unmasked"
    torch.testing.assert_close(arm, peer[f"{name}/loss_arm"], rtol=1e-5, atol=0.0)
    torch.testing.assert_close(gripper, peer[f"{name}/loss_gripper"], rtol=1e-5, atol=0.0)


def test_roll_out_past_the_window(head: LSTMHead, peer: dict[str, Tensor]) -> None:
    """Twelve single frames: a zero-state pass over the last frames is what the peer's cached history comes to."""
    history: deque[Tensor] = deque(maxlen=WINDOW)
    for step in range(12):
        token = peer["inputs/tok_seq"][:1, step % WINDOW, 0] * (1 + 0.1 * step)
        history.append(token)
        continuous, binary = head(torch.stack(list(history), dim=1))
        torch.testing.assert_close(continuous[:, -1:], peer[f"rollout/{step}/0"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(binary[:, -1:], peer[f"rollout/{step}/1"], rtol=1e-5, atol=1e-5)


def test_loss_refuses_a_mask_that_counts_nothing() -> None:
    zeros = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="counts no entry"):
        action_loss(zeros, zeros, zeros, zeros, torch.zeros(1, 1, 2, dtype=torch.bool))


def test_loss_refuses_labels_of_another_shape() -> None:
    zeros = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"\(1, 1, 2, 3\)"):
        action_loss(zeros, zeros, torch.zeros(1, 1, 2, 3), zeros, None)
