from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mobile_vla_models.resampler import PerceiverResampler

FIXTURE = Path(__file__).parent / "fixtures" / "peer_resampler.safetensors"


@pytest.fixture(scope="module")
def peer() -> dict[str, Tensor]:
    return load_file(FIXTURE)


@pytest.fixture(scope="module")
def resampler(peer: dict[str, Tensor]) -> PerceiverResampler:
    resampler = PerceiverResampler(dim=12, latents=4, depth=2, heads=3, head_dim=5, ff_mult=2)
    state = {key.removeprefix("state_dict/"): value for key, value in peer.items() if key.startswith("state_dict/")}
    resampler.load_state_dict(state)
    return resampler.eval()


def test_latents_are_the_peers(resampler: PerceiverResampler, peer: dict[str, Tensor]) -> None:
    torch.testing.assert_close(resampler(peer["inputs/tokens"]), peer["outputs/latents"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tokens", [1, 7, 20])
def test_any_number_of_tokens_comes_to_the_latents(resampler: PerceiverResampler, tokens: int) -> None:
    assert resampler(torch.randn(2, tokens, 12)).shape == (2, 4, 12)


def test_pictures_do_not_see_each_other(resampler: PerceiverResampler, peer: dict[str, Tensor]) -> None:
    tokens = peer["inputs/tokens"]
    torch.testing.assert_close(resampler(tokens)[1:2], resampler(tokens[1:2]))


def test_every_parameter_is_trained() -> None:
    torch.manual_seed(0)
    resampler = PerceiverResampler(dim=12, latents=4, depth=2, heads=3, head_dim=5, ff_mult=2)
    resampler(torch.randn(2, 7, 12)).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in resampler.parameters())
