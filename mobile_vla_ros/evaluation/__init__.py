"""Closed-loop evaluation in simulation, with baselines beside every figure."""
