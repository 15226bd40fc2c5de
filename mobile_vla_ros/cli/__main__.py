"""`python -m mobile_vla_ros.cli`, as `mobile-vla`."""

from .program import main

main()
