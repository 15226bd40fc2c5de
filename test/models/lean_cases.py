"""Policies whose step is lean: one of every kind of read-out, features and cameras."""

from typing import Any

from tiny import tiny_document

from policies import TOKENS, document

_PROMPT = "<s>{hand}{front}An image {instruction}</s>"
_CONCATENATED = [
    "backbone_vision",
    "backbone",
    "clip_text_raw",
    "backbone_image",
    "clip_image_pooled",
    "clip_image_raw",
]


def changed(**changes: Any) -> dict[str, Any]:
    return {**tiny_document(), "window": 3, **changes}


def pooled(pooling: str, source: str = "all") -> dict[str, Any]:
    readout = {"type": "pooled", "source": source, "pooling": pooling, "tokens": 1}
    return changed(readout=readout, prompt="<s>{front}{instruction}</s>")


def concatenated() -> dict[str, Any]:
    content = changed(fusion={"type": "concat", "features": list(_CONCATENATED), "layers": [24, "relu"]})
    content["clip"] = {**content["clip"], "prompts": []}
    return content


LEAN_CASES: dict[str, dict[str, Any]] = {
    "all features": changed(),
    "two cameras": document("kosmos2", "gpt", "post", cameras=["front", "hand"], prompt=_PROMPT + "{action}"),
    "three action tokens, no history": document("kosmos2", "fc", "none", readout={**TOKENS, "tokens": 3}),
    "concatenated": concatenated(),
    "mean": pooled("mean"),
    "max of words": pooled("max", "text"),
    "first": pooled("first"),
    "last": pooled("last"),
    "last picture token": pooled("last", "vision"),
}
