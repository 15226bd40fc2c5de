"""What the console cannot do, in words for who sits at it."""

from ..errors import MobileVLAError


class ConsoleError(MobileVLAError):
    """A command cannot be carried out; the message names what is wrong and what was expected."""
