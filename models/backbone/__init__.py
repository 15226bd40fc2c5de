"""Vision-language towers, each driven frame by frame through a small interface of its own."""
