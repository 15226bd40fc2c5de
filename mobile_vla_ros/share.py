"""What is shipped beside the code, by name."""

from mobile_vla_models.share import share_path

__all__ = ["SHIPPED_POLICY", "share_path"]

SHIPPED_POLICY = "policies/sim_small"
