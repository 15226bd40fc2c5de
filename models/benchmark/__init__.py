"""What keeping something saves: each measured beside the same work done without, in one run on one machine."""
