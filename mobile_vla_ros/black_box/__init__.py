"""The last seconds before something went wrong, kept in memory and written as a rosbag2 recording when it does."""

from .recorder import BlackBox, BlackBoxConfig
from .ring import Topic

__all__ = ["BlackBox", "BlackBoxConfig", "Topic"]
