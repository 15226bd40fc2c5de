"""The example in docs/adding_a_backbone.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from native import run_native
from sequences import ALL, ONE_PICTURE, TWO_PICTURES, example, tiny_backbone

from mobile_vla_models.backbone import GenericBackbone, registry
from mobile_vla_models.errors import BackboneError

PAGE = next(
    folder / "docs" / "adding_a_backbone.md"
    for folder in Path(__file__).resolve().parents
    if (folder / "docs" / "adding_a_backbone.md").is_file()
)
_TOWER = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
BLIP2: dict[str, Any] = {
    "backbone": "blip2",
    "config": {
        "model_type": "blip-2",
        "image_token_index": 310,
        "num_query_tokens": 3,
        "text_config": {
            "model_type": "opt",
            "vocab_size": 320,
            "pad_token_id": 0,
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "num_hidden_layers": 2,
            "ffn_dim": 48,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
            "dropout": 0.0,
        },
        "vision_config": {**_TOWER, "image_size": 28, "patch_size": 14},
        "qformer_config": {**_TOWER, "encoder_hidden_size": 24, "vocab_size": 30},
    },
    "image_size": 28,
}


@pytest.fixture
def example_on_the_page(monkeypatch: pytest.MonkeyPatch) -> str:
    """Its code, executed; what it registers is forgotten afterwards."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.setattr(registry, "_REGISTRY", registry.registered_backbones())
    monkeypatch.setitem(ALL, "blip2", BLIP2)
    exec(compile(code, str(PAGE), "exec"), {})
    return code


def test_the_example_is_short(example_on_the_page: str) -> None:
    assert len(example_on_the_page.splitlines()) <= 30


@pytest.mark.parametrize("prompt", [ONE_PICTURE, TWO_PICTURES], ids=["one", "two"])
def test_the_example_is_a_working_backbone(prompt: Any, example_on_the_page: str) -> None:
    backbone = tiny_backbone("blip2")
    case = example("blip2", backbone, [prompt])
    with torch.no_grad():
        states = backbone.run(case.sequence)
        native_states, native_logits = run_native(backbone, case)
    torch.testing.assert_close(states, native_states, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(backbone.logits(states), native_logits, rtol=1e-5, atol=1e-4)


def test_the_generic_backbone_refuses_the_example(example_on_the_page: str) -> None:
    model = tiny_backbone("blip2").model
    with pytest.raises(BackboneError, match="OPTForCausalLM, has no `layers`"):
        GenericBackbone(model, language_head=True)
