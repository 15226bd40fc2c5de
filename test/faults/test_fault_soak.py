"""The soak: a minute of the real core passes; a core that misses a zero, a limit or a recovery does not."""

import json
from io import StringIO

import pytest

pytest.importorskip("sensor_msgs")

from rich.console import Console

from mobile_vla_ros.control import DriveController
from mobile_vla_ros.control.arming import Arming
from mobile_vla_ros.control.frames import FrozenCamera
from mobile_vla_ros.control.limits import VelocityLimiter
from mobile_vla_ros.control.watchdog import ClockGuard, Watchdog
from mobile_vla_ros.faults import world
from mobile_vla_ros.faults.soak import FAULTS, GROWTH, Figures, Soak, soak
from mobile_vla_ros.faults.soak_report import print_soak
from mobile_vla_ros.faults.world import World

# The fault `die` ends a thread by an exception, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def run(seconds: float = 60.0) -> Figures:
    return soak(seconds, 0, Console(file=StringIO()))


def test_a_minute_passes_and_is_reported() -> None:
    figures = run()
    assert figures.missed == figures.out_of_bounds == figures.stuck == 0, figures.findings
    assert not figures.deadlock
    assert figures.zeros_due > 100
    assert figures.driving > 0.3
    assert figures.memory[0] > 0.0
    json.dumps(figures.document(), allow_nan=False)
    said = StringIO()
    print_soak(figures, Console(file=said, width=120))
    assert "zeros that were due" in said.getvalue()


def test_memory_that_grows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytes] = []
    step = World.tick

    def leak(self: World) -> object:
        kept.append(b"x" * 65536)
        return step(self)

    monkeypatch.setattr(World, "tick", leak)
    figures = run()
    assert figures.growth > GROWTH
    assert not figures.passed


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = run(15.0), run(15.0)
    assert first.faults == second.faults
    assert (first.commands, first.driving, first.steps) == (second.commands, second.driving, second.steps)


@pytest.mark.parametrize("name", list(FAULTS))
def test_each_fault_is_got_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_vla_ros.faults.soak.FAULTS", {name: FAULTS[name]})
    figures = run(8.0)
    assert figures.missed == figures.out_of_bounds == figures.stuck == 0, figures.findings


def test_a_limiter_that_hurries_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = VelocityLimiter.towards
    monkeypatch.setattr(VelocityLimiter, "towards", lambda self, target, dt: slow(self, target, 1.2 * dt))
    assert run(10.0).out_of_bounds > 0


def test_a_robot_that_does_not_go_on_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arming, "reset", lambda self: "never")
    assert run(20.0).stuck > 0


@pytest.mark.parametrize(
    ("fault", "owner", "name", "instead", "reason"),
    [
        ("camera frozen", FrozenCamera, "move", lambda *_: None, "a frozen picture"),
        ("unknown encoding", DriveController, "refuse_frame", lambda *_: None, "a bad frame"),
        ("policy: raise", DriveController, "policy_failed", lambda *_: None, "a policy that failed"),
        ("policy late", Watchdog, "overdue", lambda *_: None, "a silent policy"),
        ("odometry silent", Watchdog, "overdue", lambda *_: None, "a silent odometry"),
        ("emergency_stop silent", Watchdog, "overdue", lambda *_: None, "a silent emergency stop"),
        ("camera silent", Watchdog, "overdue", lambda *_: None, "a silent camera"),
        ("control loop held up", DriveController, "_starved", lambda *_: "", "a control loop that was held up"),
        ("clock jumps", ClockGuard, "jump", lambda *_: None, "a clock that jumped"),
        ("disarmed", DriveController, "disarm", lambda self, why: Arming.disarm(self.arming, why), "a disarmed robot"),
    ],
)
def test_a_core_that_overlooks_a_fault_is_found(
    fault: str, owner: type, name: str, instead: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobile_vla_ros.faults.soak.FAULTS", {fault: FAULTS[fault]})
    monkeypatch.setattr(owner, name, instead)
    figures = run(20.0)
    assert figures.missed > 0
    assert any(reason in text for text in figures.findings), figures.findings


def test_a_worker_that_never_answers_is_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "ANSWER_TIMEOUT", 0.2)
    here = World()
    monkeypatch.setattr(here._worker, "submit", lambda request: None)
    with pytest.raises(world.DeadlockError, match="has not answered"):
        Soak(0, here).episode()
    here.close()
