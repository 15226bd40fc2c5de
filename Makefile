# make demo   a simulated robot follows three instructions; video and plots in out/demo
# make test   lint, types and every test
# make faults what can go wrong on a robot, done to policy_node while it drives: how long until it stands still
# make thorough  10,000 cases of every property of the control core, instead of some fifty
# make bench  what keeping keys, values and pictures saves; gradient checkpointing; steps of the shipped policy; the node; the
#             trainer
# make bench-full  full size, an hour or two and 24 GB on disk: a checkpoint inspected, converted, loaded; steps beside the
#             roofline; the node while it runs; training on 50 GB
# make venv   only the environment, in .venv
# make matrix the tests on Python 3.10 to 3.13, with Kilted and with Jazzy; hours, and 2.5 GB on disk for each of the eight;
#             MATRIX="3.12-jazzy 3.10-kilted" for less
# make clean  removes what the others made, but not recordings, trainings and the environment

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
VENV := .venv
BIN := $(VENV)/bin

export MUJOCO_GL ?= egl
# A sourced ROS distribution would be mixed with the ROS 2 of the environment.
unexport PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH COLCON_PREFIX_PATH RMW_IMPLEMENTATION

.PHONY: demo test lint types unit end-to-end faults thorough bench bench-full venv matrix clean

demo: venv
	$(BIN)/python -m mobile_vla_ros.demo

test: lint types unit end-to-end

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check --quiet

types: venv
	$(BIN)/mypy

# One thread each: two workers share two cores.
unit: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not e2e and not packaging"

# Processes over DDS, installers: one at a time.
end-to-end: venv
	$(BIN)/python -m pytest -m "e2e or packaging"

faults: venv
	$(BIN)/mobile-vla faults

thorough: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest test/control -n auto --hypothesis-profile=thorough --timeout=0

bench: venv
	$(BIN)/mobile-vla benchmark-model
	$(BIN)/mobile-vla benchmark policies/sim_small --threads 1 --compare
	$(BIN)/mobile-vla benchmark-node policies/sim_small
	$(BIN)/mobile-vla benchmark-training

bench-full: venv
	$(BIN)/mobile-vla benchmark-checkpoint --folder out/bench_full
	for precision in fp32 bf16; do \
		$(BIN)/mobile-vla benchmark --full-size $$precision --threads 2 --steps 4 --compare; \
	done
	$(BIN)/mobile-vla benchmark --full-size bf16 --engine torch-compile --threads 2 --steps 4 --compare
	for precision in fp32 int8; do \
		$(BIN)/mobile-vla benchmark --full-size $$precision --engine onnx --folder out/bench_full \
			--threads 2 --steps 4 --compare; \
	done
	$(BIN)/mobile-vla benchmark-node --full-size fp32 --image-transport compressed
	rm -rf out/bench_full/pictures
	$(BIN)/mobile-vla benchmark-training --large out/bench_full/pictures

venv:
	@VENV=$(VENV) requirements/install.sh

matrix:
	@requirements/matrix.sh

clean:
	rm -rf out/demo build install log .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
