"""The whole benchmark of a policy: what it says, as tables and as JSON."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from mobile_vla_models.benchmark.policy import report as report_module
from mobile_vla_models.benchmark.policy import roofline
from mobile_vla_models.benchmark.policy.full_size import random_config, random_policy
from mobile_vla_models.benchmark.policy.opened import BenchmarkError
from mobile_vla_models.benchmark.policy.pictures import stepper
from mobile_vla_models.benchmark.policy.report import Weights, benchmark_policy, measure_policy, weights_of
from mobile_vla_models.benchmark.policy.tables import print_report
from mobile_vla_models.convert.hybrid_layout import FULL_SIZE, small
from mobile_vla_models.errors import PolicyDirectoryError
from mobile_vla_models.weights import empty_model
from policies import build, document


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_LEAST", 1 << 22)
    monkeypatch.setattr(roofline, "_MOST", 1 << 22)
    monkeypatch.setattr(roofline, "_SQUARE", {"cpu": 32})
    monkeypatch.setattr(report_module, "ENDURANCE", 10)
    monkeypatch.setattr(report_module, "WARM_UP", 1)


def test_a_directory_is_measured(policy_dir: Path) -> None:
    before = torch.get_num_threads()
    report = benchmark_policy(policy_dir, "torch", 1, 3, compare=True)
    assert torch.get_num_threads() == before
    said = json.loads(json.dumps(report.document(), allow_nan=False))
    assert said["weights"] == {"name": str(policy_dir), "sha256": weights_of(policy_dir).sha256, "random": False}
    assert said["engine"] == f"torch {torch.__version__} on cpu, lean"
    assert 0.0 <= said["golden"] < 1e-4
    assert said["precision"] == dict.fromkeys(("vision", "text", "clip", "head"), "fp32")
    assert said["machine"]["threads"] == 1
    assert said["steps"] == said["comparison"]["steps"] == 3
    assert list(said["stages"]) == ["decode", "preprocess", "vision", "connector", "clip", "text", "history", "head"]
    assert said["floor"]["step"] == pytest.approx(
        sum(max(part["compute"], part["memory"]) for part in said["floor"]["parts"].values())
    )
    assert said["floor"]["ratio"] == pytest.approx(said["step"]["p50"] / said["floor"]["step"])
    assert said["stability"]["steps"] == 10
    assert list(said["comparison"]["ways"]) == ["transformers", "RoboVLMs-style", "whole window", "this package"]
    assert said["export"] is None
    assert said["memory"]["rss"] > 0
    shown = StringIO()
    print_report(report, Console(file=shown, width=150))
    assert all(name in shown.getvalue() for name in (*said["stages"], *said["comparison"]["ways"], "whole step"))


def test_what_is_not_asked_for_is_not_there() -> None:
    policy = build(document("kosmos2", "lstm", "pre"))
    report = measure_policy(policy, Weights("pre", None, True), None, 1, compare=False, endurance=0)
    said = report.document()
    assert said["comparison"] is said["stability"] is said["tokens"] is None
    assert list(said["floor"]["parts"]) == ["model"]
    assert said["notes"][0].startswith("The weights are random")
    print_report(report, Console(file=StringIO()))


def test_a_comparison_that_cannot_be_had_is_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "time_stages", lambda *_, **__: pytest.fail("measured before it refused"))
    with pytest.raises(BenchmarkError, match="history is pre"):
        measure_policy(build(document("kosmos2", "lstm", "pre")), Weights("pre", None, True), 1, 1, compare=True)


def test_unknown_engines_are_refused(policy_dir: Path) -> None:
    with pytest.raises(PolicyDirectoryError, match="engine 'abacus' is unknown, expected one of torch"):
        benchmark_policy(policy_dir, "abacus", 1, 1, compare=False)


def test_weights_are_random_where_their_directory_says_so(policy_dir: Path) -> None:
    (policy_dir / "training.json").write_text('{"weights": "random, not trained"}', encoding="utf-8")
    named = weights_of(policy_dir)
    assert named.random
    assert named.sha256 is not None
    assert len(named.sha256) == 16


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8", "w8a8"])
def test_a_random_policy_steps_and_sees(precision: str) -> None:
    step = stepper(random_policy(small(), precision))
    chunks = [step().continuous for _ in range(2)]
    assert np.isfinite(chunks).all()
    assert abs(chunks[0] - chunks[1]).max() > 0.01


def test_the_full_size_is_the_checkpoints_without_what_no_step_needs() -> None:
    model = empty_model(random_config(FULL_SIZE, "fp32"))
    unneeded = ("clip_model.text", "clip_model.logit_scale")
    parameters = FULL_SIZE.module().named_parameters()
    assert model.parameter_count() == sum(
        weight.numel() for name, weight in parameters if not name.startswith(unneeded)
    )
