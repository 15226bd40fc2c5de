"""The camera's picture with what the robot is about to do drawn into it. No ROS here."""

from .camera import Camera
from .draw import draw
from .drive import Drive
from .live import LiveOverlay, Moment

__all__ = ["Camera", "Drive", "LiveOverlay", "Moment", "draw"]
