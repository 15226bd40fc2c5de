"""policy_node whose weights stay mapped, as where memory is short; with `no-lease` as for another user's file."""

import sys
from functools import partial

from mobile_vla_models import VLAPolicy, loaded_files
from mobile_vla_ros.policy_node.node import main

if __name__ == "__main__":
    VLAPolicy.from_pretrained = partial(VLAPolicy.from_pretrained, weights="mapped")  # type: ignore[method-assign]
    if "no-lease" in sys.argv:
        loaded_files._HeldFile._take_lease = lambda self: False  # type: ignore[method-assign]
    sys.exit(main())
