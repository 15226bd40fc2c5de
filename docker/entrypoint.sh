#!/bin/bash
# Runs a command with this workspace; exec, so that signals reach it.
set -e
source /ws/install/setup.bash
exec "$@"
