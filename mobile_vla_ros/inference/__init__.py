"""The policy in a thread of its own: loading it, and handing it frames."""
