"""What the policy node adds to a policy's own time, and how even its commands are; measured over DDS from outside."""
