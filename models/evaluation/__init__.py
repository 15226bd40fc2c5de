"""How well a policy answers recorded frames, with baselines beside every figure, and the statistics for it."""
