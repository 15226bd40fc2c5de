"""The demonstration: a simulated robot and the policy node, separate processes, told over DDS what to do."""
