"""`mobile-vla convert robovlms`."""

from __future__ import annotations

from pathlib import Path

import pytest
from robovlms_cases import Case
from typer.testing import CliRunner

from mobile_vla_models.policy import VLAPolicy
from mobile_vla_ros.cli.program import app, main

WIDE = {"COLUMNS": "220"}


def arguments(folder: Path, case: str) -> list[str]:
    config, checkpoint = Case(case).write(folder)
    return ["convert", "robovlms", "--config", str(config), "--checkpoint", str(checkpoint)]


def test_command_writes_a_policy_and_says_what_it_did(tmp_path: Path) -> None:
    out = tmp_path / "policy"
    result = CliRunner().invoke(app, [*arguments(tmp_path, "gpt_post"), "--dt", "0.0333", str(out)], env=WIDE)
    assert result.exit_code == 0, result.output
    policy = VLAPolicy.from_pretrained(out)
    assert f"{policy.model.parameter_count():,}" in result.output
    assert "the causal mask of the GPT head, no weight" in result.output
    assert "act_head.window_size is 1 without effect" in result.output


def test_dt_is_asked_for(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*arguments(tmp_path, "fc_post"), str(tmp_path / "policy")], env=WIDE)
    assert result.exit_code == 2
    assert "--dt" in result.output


def test_refusal_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*arguments(tmp_path, "fc_post"), "--dt", "0", str(tmp_path / "policy")]
    monkeypatch.setattr("sys.argv", ["mobile-vla", *command])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: the configuration makes no policy: dt:")
