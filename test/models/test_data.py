"""Views become patches."""

import json
from pathlib import Path

import numpy as np
import pytest
from recordings import write_views
from tiny import tiny_document

from mobile_vla_models import DataError
from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.data.views import patch_coverage, read_views

CONFIG = PolicyConfig.model_validate(tiny_document())


def test_patch_coverage_counts_pixels() -> None:
    classes = np.zeros((1, 4, 4), np.uint8)
    classes[0, :2, :2] = 7
    classes[0, 3, 3] = 255
    shares = patch_coverage(classes, grid=2)
    assert shares.shape == (1, 256, 4)
    np.testing.assert_allclose(shares[0, 7], [1, 0, 0, 0])
    np.testing.assert_allclose(shares[0, 255], [0, 0, 0, 0.25])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_views_are_read_and_resized(tmp_path: Path) -> None:
    write_views(tmp_path, count=6)
    views = read_views(tmp_path, CONFIG.image)
    assert views.rgb.shape == (6, 16, 16, 3)
    assert views.classes.shape == (6, 16, 16)
    assert set(np.unique(views.classes)) <= {0, 1, 2, 254, 255}


def test_a_class_without_a_sentence_is_named(tmp_path: Path) -> None:
    write_views(tmp_path, count=2)
    path = tmp_path / "views.json"
    document = json.loads(path.read_text())
    del document["phrases"]["red box"]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="red box"):
        read_views(tmp_path, CONFIG.image)
