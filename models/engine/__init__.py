"""Engines: how a policy's step is computed, each with the same outputs."""
