"""Episodes in rosbag2 recordings, read and written without a ROS installation (rosbags)."""
