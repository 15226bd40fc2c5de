"""What came of runs through policy_node, and whether the machine kept up with them. No ROS here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .closed_loop import Score
from .conditions import NOMINAL
from .episode import EpisodeResult
from .steps import Steps, together

RANDOM_LATENCY = "random latency"
# s for which a frame is held back at most; how long is drawn for each.
NODE_CONDITIONS = {NOMINAL: 0.0, RANDOM_LATENCY: 0.3}
NODE = "through the node"
LATE_PLAN = 0.3  # s from a frame to its plan: as long as policy_node waits for an answer
BEARABLE = 0.02  # share of frames late or lost, and of real time lost, up to which a machine counts as quick enough


@dataclass(frozen=True)
class Pace:
    """How well the simulator kept real time.

    Attributes:
        wall: s of real time.
        simulated: s.
        frames: published.
        late: of them, those published more than 0.05 s after they were due.
    """

    wall: float
    simulated: float
    frames: int
    late: int

    @property
    def factor(self) -> float:
        """Simulated time over real time."""
        return self.simulated / self.wall

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "real_time_factor": self.factor}


@dataclass(frozen=True)
class Transport:
    """What became of the frames of a series; those before and after the runs count, too.

    Attributes:
        sent: published.
        received: by the node.
        refused: by it, as it could not use them.
        replaced: in it by newer ones, before the policy could take them.
    """

    sent: int
    received: int
    refused: int
    replaced: int


@dataclass(frozen=True)
class NodeRun:
    """One run.

    Attributes:
        result: how it ended.
        steps: of its commands.
        pace: of the simulator.
        latencies: s from the frame to the first command of each plan that was followed.
    """

    result: EpisodeResult
    steps: Steps
    pace: Pace
    latencies: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "result": self.result.to_dict(),
            "steps": self.steps.to_dict(),
            "pace": self.pace.to_dict(),
            "latencies_s": list(self.latencies),
        }


@dataclass(frozen=True)
class NodeSeries:
    """Runs under one condition.

    Attributes:
        condition: name of one of NODE_CONDITIONS.
        runs: one per room.
        transport: of the frames.
    """

    condition: str
    runs: tuple[NodeRun, ...]
    transport: Transport

    @property
    def score(self) -> Score:
        """As that of runs in process; its latency is the median of those measured, NaN if no plan was followed."""
        name = NODE if self.condition == NOMINAL else f"{NODE}, {self.condition}"
        return Score(name, self.latency(50.0), tuple(run.result for run in self.runs))

    @property
    def steps(self) -> Steps:
        """Of all runs."""
        return together(run.steps for run in self.runs)

    @property
    def pace(self) -> Pace:
        """Of all runs."""
        paces = [run.pace for run in self.runs]
        return Pace(
            sum(pace.wall for pace in paces),
            sum(pace.simulated for pace in paces),
            sum(pace.frames for pace in paces),
            sum(pace.late for pace in paces),
        )

    def latency(self, percentile: float) -> float:
        """S from a frame to the first command of its plan; NaN if no plan was followed."""
        latencies = [latency for run in self.runs for latency in run.latencies]
        return float(np.percentile(latencies, percentile)) if latencies else float("nan")

    @property
    def too_slow(self) -> str:
        """Why these figures say nothing of the policy: the machine did not keep up. Empty: it did."""
        pace, transport = self.pace, self.transport
        reasons = []
        if 1.0 - pace.factor > BEARABLE:
            reasons.append(f"the simulator ran at {pace.factor:.2f} of real time")
        if pace.late > BEARABLE * pace.frames:
            reasons.append(f"{pace.late} of {pace.frames} frames were late")
        if self.condition == NOMINAL:  # of frames that were held back several come at once, and push each other out
            lost = transport.sent - transport.received
            if lost > BEARABLE * transport.sent:
                reasons.append(f"{lost} of {transport.sent} frames did not arrive")
            if transport.replaced > BEARABLE * transport.received:
                reasons.append(f"the policy was too slow for {transport.replaced} of {transport.received} frames")
            late = self.latency(95.0)
            if late > LATE_PLAN:
                reasons.append(f"5 % of the plans came {1000 * late:.0f} ms after their frames, or later")
        return "; ".join(reasons)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        score = self.score.to_dict()
        del score["results"]  # they are in the runs
        quantiles = {f"p{percentile}": self.latency(percentile) for percentile in (50, 95)}
        return {
            **score,
            "latency_s": quantiles if any(run.latencies for run in self.runs) else None,
            "steps": self.steps.to_dict(),
            "pace": self.pace.to_dict(),
            "frames": asdict(self.transport),
            "machine_too_slow": self.too_slow or None,
            "runs": [run.to_dict() for run in self.runs],
        }
