"""What a policy is trained from: recorded runs as episodes, and grounding views."""
