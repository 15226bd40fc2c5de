"""Property tests draw the same examples each time, and a busy machine does not fail them."""

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("steady")
