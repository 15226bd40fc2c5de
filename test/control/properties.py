"""What property tests of the control core share: how many cases, and which robots."""

from hypothesis import settings
from hypothesis import strategies as st

from mobile_vla_ros.control import Limits

QUICK = settings.get_current_profile_name() != "thorough"
cases = settings(settings(max_examples=50, derandomize=True) if QUICK else settings(), deadline=None)

positive = st.floats(0.3, 3.0)
limits = st.builds(
    Limits,
    linear_x_min=st.one_of(st.just(0.0), st.floats(-3.0, -0.01)),
    linear_x_max=positive,
    angular_z_max=positive,
    linear_acceleration=positive,
    angular_acceleration=positive,
    linear_jerk=st.floats(0.5, 100.0),
    angular_jerk=st.floats(0.5, 100.0),
)
