"""What a file of weights holds: models by their tensors' names and shapes, what is missing, and what is broken."""
