"""A policy's step on this machine: where its time goes, how far it is from the machine's limits, and from others."""
