import pytest

pytest.importorskip("cv2")
