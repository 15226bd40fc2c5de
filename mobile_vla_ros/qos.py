"""Quality of service of what the nodes say and hear."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

# A frame that waits is a frame that grows old, and a camera may send reliably or not.
NEWEST_FRAME = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
# Volatile: a latched instruction would make a robot drive that has just been restarted.
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SEVERAL = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# Every word of an emergency stop is heard: the `false` of a heartbeat must not replace a `true` that waits.
EVERY = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
# `qos_overrides./TOPIC.subscription.reliability` and `.durability`, for cameras, instruction and emergency stop.
OVERRIDABLE = QoSOverridingOptions([QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY])
