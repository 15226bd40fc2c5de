"""By what a recorded run is known again, whatever its file is called."""

from __future__ import annotations

import hashlib

import numpy as np

from .episode import Episode


def mark(episode: Episode) -> str:
    """The first 12 digits of a SHA-256: sentence, commands, when each was given (ms), first picture of each camera.

    The same run has the same one in every format, unless a conversion resampled its commands or lost some of the
    picture, as most videos do.

    Raises:
        DataError: a picture cannot be read.
    """
    times = np.rint((episode.actions.stamps - episode.actions.stamps[:1]) * 1e3).astype("<i8")
    numbers = episode.actions.values.astype("<f4") + np.float32(0.0)  # -0.0 is 0.0
    digest = hashlib.sha256(episode.instruction.encode() + times.tobytes() + numbers.tobytes())
    for name, pictures in sorted(episode.cameras.items()):
        digest.update(name.encode())
        if len(pictures.stamps):
            digest.update(np.ascontiguousarray(pictures.read([0])[0]).tobytes())
    return digest.hexdigest()[:12]
