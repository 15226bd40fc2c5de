"""What a training costs: samples a second beside a plain loop, epochs on kept features, memory on large data."""
