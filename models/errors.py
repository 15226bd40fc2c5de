"""Errors that a user of the policy package is meant to read."""


class MobileVLAError(ValueError):
    """Base of them all."""


class PolicyDirectoryError(MobileVLAError):
    """A policy directory is missing, incomplete, corrupt or not what its configuration says.

    The message names the file or key, the value found and what was expected.
    """


class DataError(MobileVLAError):
    """Recorded data (bags, grounding views) is missing, malformed or inconsistent; the message names it."""


class PolicyConfigError(MobileVLAError):
    """A policy's configuration or preset cannot be used; the message names the file and the key."""


class BackboneError(MobileVLAError):
    """A vision-language model cannot be a policy's backbone; the message names the part that is missing or unknown."""


class TrainingConfigError(MobileVLAError):
    """A training configuration cannot be used; the message names the file and the key."""


class ConversionError(MobileVLAError):
    """A policy of another framework cannot be converted; the message names the key or tensor and what is supported."""


class CheckpointError(MobileVLAError):
    """A file of weights is damaged, of an unknown format, or not what it is taken for; the message names it."""


class MemoryShortageError(MobileVLAError):
    """A policy needs more memory than is free; the message gives both, and the precision that would fit."""


class PrecisionError(MobileVLAError):
    """A precision cannot be had: unknown, not for this device or layer, or too far from the original."""
