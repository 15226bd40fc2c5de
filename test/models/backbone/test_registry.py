"""Backbones by name, and configurations that hold nothing unknown."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from families import FAMILIES
from sequences import ALL

from mobile_vla_models.backbone import (
    GenericBackbone,
    backbone_configuration,
    build_backbone,
    register_backbone,
    registered_backbones,
    registry,
)
from mobile_vla_models.errors import BackboneError


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        BackboneError, match=r"unknown backbone 'kosmos3'; known: generic, idefics, kosmos2, llava, pali"
    ):
        build_backbone("kosmos3", backbone_configuration(FAMILIES["kosmos2"]["config"]), language_head=True)


def test_a_name_is_taken_once() -> None:
    with pytest.raises(BackboneError, match="'llava' is registered already, as LlavaBackbone"):
        register_backbone("llava")(GenericBackbone)
    assert register_backbone("generic")(GenericBackbone) is GenericBackbone


def test_an_installed_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTRY", registered_backbones())
    (tmp_path / "my_backbones.py").write_text(
        "from mobile_vla_models.backbone import GenericBackbone, register_backbone\n"
        "@register_backbone('mine')\nclass Mine(GenericBackbone):\n    pass\n"
        "class Nameless(GenericBackbone):\n    pass\n"
    )
    declared = tmp_path / "my_package-1.0.dist-info"
    declared.mkdir()
    (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (declared / "entry_points.txt").write_text(
        f"[{registry.ENTRY_POINTS}]\nmine = my_backbones:Mine\nnameless = my_backbones:Nameless\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackboneError, match="known: generic, idefics, kosmos2, llava, mine, nameless, paligemma"):
        registry.find_backbone("yours")
    assert registry.find_backbone("mine").__name__ == "Mine"
    with pytest.raises(BackboneError, match="entry point my_backbones:Nameless registers no backbone 'nameless'"):
        registry.find_backbone("nameless")


@pytest.mark.parametrize("model_type", [None, "kosmos-22", 3])
def test_the_model_type_must_be_known(model_type: Any) -> None:
    with pytest.raises(BackboneError, match=r"backbone\.config\.model_type is "):
        backbone_configuration({"model_type": model_type})


@pytest.mark.parametrize(
    ("family", "part"),
    [
        (family, part)
        for family, document in ALL.items()
        for part in (None, "text_config", "vision_config")
        if part is None or part in document["config"]
    ],
)
def test_an_unknown_key_is_named(family: str, part: str | None) -> None:
    document = deepcopy(ALL[family]["config"])
    (document if part is None else document[part])["hiden_size"] = 32
    path = "backbone.config" if part is None else f"backbone.config.{part}"
    with pytest.raises(BackboneError, match=rf"unknown key {path}\.hiden_size: "):
        backbone_configuration(document)


def test_an_unknown_nested_model_type_is_named() -> None:
    document = deepcopy(FAMILIES["llava"]["config"])
    document["text_config"]["model_type"] = "lama"
    with pytest.raises(BackboneError, match=r"backbone\.config\.text_config\.model_type is 'lama'"):
        backbone_configuration(document)


@pytest.mark.parametrize("family", list(ALL))
def test_what_transformers_writes_can_be_read(family: str) -> None:
    document = deepcopy(ALL[family]["config"])
    config = backbone_configuration(document)
    assert document == ALL[family]["config"]
    written = config.to_dict()
    assert backbone_configuration(written).to_dict() == written
