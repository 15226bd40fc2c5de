"""A full-size Kosmos-2 + CLIP + LSTM checkpoint: what it takes to inspect, convert, load and run it."""
