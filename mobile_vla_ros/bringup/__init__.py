"""Processes of nodes in a ROS domain of their own, for whoever tries or shows the node."""
