"""What the command `mobile-vla` does: `program` puts it together, the others are its parts."""
