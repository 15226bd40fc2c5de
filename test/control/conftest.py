from hypothesis import HealthCheck, settings

# For changes of what moves the robot: pytest test/control --hypothesis-profile=thorough --timeout=0
# It may run beside other work: that drawing cases is slow says nothing then.
settings.register_profile("thorough", max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
