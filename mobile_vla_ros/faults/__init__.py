"""Faults on purpose: to the real policy_node over DDS, and to its core in simulated time."""
