"""The policy on one machine, control on another: policy_server, and what policy_node has in its place of a policy."""
