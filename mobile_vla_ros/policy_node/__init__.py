"""The node on the robot: messages into the controller, its commands out."""
