"""Mobile robots that follow instructions in words: the ROS 2 side, its control core and its simulator."""
