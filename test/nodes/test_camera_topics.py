"""What cameras are called, as launch files are told."""

import pytest

from mobile_vla_ros.camera_topics import camera_topics, renamed_topics, with_compressed


def test_a_single_camera_is_image() -> None:
    assert renamed_topics("", "front/image") == {"camera/image_raw": "front/image"}


def test_several_are_renamed_by_name_where_the_node_hears_them() -> None:
    renamed = renamed_topics("front:=/mast hand:=gripper/image", "not asked for")
    assert renamed == {"camera/front/image_raw": "/mast", "camera/hand/image_raw": "gripper/image"}
    assert tuple(renamed) == camera_topics(("front", "hand"))


@pytest.mark.parametrize(
    "cameras", ["front:=/mast", "front:=/mast hand", "front:=/mast hand:=", "front:=/mast :=/hand"]
)
def test_other_rules_are_refused(cameras: str) -> None:
    with pytest.raises(ValueError, match=f"cameras: {cameras}: expected several NAME:=TOPIC; a single camera is image"):
        renamed_topics(cameras, "image")


def test_compressed_frames_come_from_the_same_place() -> None:
    assert with_compressed({"camera/image_raw": "/mast"}) == [
        ("camera/image_raw", "/mast"),
        ("camera/image_raw/compressed", "/mast/compressed"),
    ]
