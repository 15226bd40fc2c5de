from hypothesis import settings

# For changes of what moves the robot: pytest test/control --hypothesis-profile=thorough
settings.register_profile("thorough", max_examples=10_000, deadline=None)
