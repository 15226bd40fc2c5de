"""Errors that a user of the policy package is meant to read."""


class PolicyDirectoryError(ValueError):
    """A policy directory is missing, incomplete, corrupt or not what its configuration says.

    The message names the file or key, the value found and what was expected.
    """


class DataError(ValueError):
    """Recorded data (bags, grounding views) is missing, malformed or inconsistent; the message names it."""


class BackboneError(ValueError):
    """A vision-language model cannot be a policy's backbone; the message names the part that is missing or unknown."""


class TrainingConfigError(ValueError):
    """A training configuration cannot be used; the message names the file and the key."""
