"""What a Jetson's files say, in a folder that looks like one."""

from pathlib import Path

import pytest

pytest.importorskip("diagnostic_msgs")

from diagnostic_msgs.msg import DiagnosticStatus

from mobile_vla_ros.policy_node import machine
from mobile_vla_ros.policy_node.diagnostics import machine_status, values_of


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


ORIN = {
    "proc/self/statm": "900000 512000 100 1 0 800000 0",
    "proc/meminfo": "MemTotal:       15656480 kB\nMemFree:          512000 kB\nMemAvailable:    6291456 kB",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": "51250",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
    "sys/class/thermal/thermal_zone1/temp": "-500",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal",  # asleep: it cannot be read
    "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0",
    "sys/class/thermal/cooling_device0/cur_state": "0",
    "sys/class/thermal/cooling_device1/type": "pwm-fan",
    "sys/class/thermal/cooling_device1/cur_state": "2",
    "sys/class/hwmon/hwmon0/name": "pwmfan",
    "sys/class/hwmon/hwmon3/name": "ina3221",
    "sys/class/hwmon/hwmon3/in1_label": "VDD_IN",
    "sys/class/hwmon/hwmon3/in1_input": "19000",
    "sys/class/hwmon/hwmon3/curr1_input": "500",
    "sys/class/hwmon/hwmon3/in7_label": "sum of shunt voltages",  # no current
    "sys/class/hwmon/hwmon3/in7_input": "1",
    "var/lib/nvpmodel/status": "pmode:0002 fmode:quiet",
}


def test_a_jetson_says_its_heat_and_power(tmp_path: Path) -> None:
    write(tmp_path, ORIN)
    assert machine.temperatures(tmp_path) == {"cpu-thermal": 51.25, "gpu-thermal": -0.5}
    assert machine.power(tmp_path) == {"VDD_IN": 9.5}
    assert machine.power_mode(tmp_path) == "2"
    assert machine.throttled(tmp_path) == []
    status = machine_status("/policy_node", tmp_path)
    values = values_of(status)
    assert status.name == "/policy_node: machine"
    assert status.level == DiagnosticStatus.OK
    assert values["power mode"] == "2"
    assert values["VDD_IN (W)"] == "9.5"
    assert values["cpu-thermal (°C)"] == "51.2"
    assert float(values["resident memory (MiB)"]) > 0.0
    assert values["available memory (MiB)"] == "6144"


def test_what_is_held_back_for_heat_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, {**ORIN, "sys/class/thermal/cooling_device0/cur_state": "3"})
    status = machine_status("/policy_node", tmp_path)
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "throttled for heat: cpufreq-cpu0")


def test_a_machine_without_such_files_says_nothing_of_them(tmp_path: Path) -> None:
    status = machine_status("/policy_node", tmp_path)
    assert (status.level, status.message, list(status.values)) == (DiagnosticStatus.OK, "", [])


def test_this_process_has_memory() -> None:
    memory = machine.resident_memory()
    assert memory is not None
    assert 1.0 < memory < 1e6
