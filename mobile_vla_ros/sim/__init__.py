"""The simulated robot: rooms, base, camera, tasks, a scripted expert and recordings of its runs. No ROS, no torch."""
