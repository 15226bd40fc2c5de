#!/usr/bin/env bash
# Makes .venv: Python 3.10 to 3.13, the pinned packages, this package (editable), a renderer that works.
# Does nothing when all that is current. PYTHON names another interpreter than the one found on the PATH, ROS another
# distribution than kilted, VENV another folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=${VENV:-.venv}
ros=requirements/ros-${ROS:-kilted}.txt
python=$venv/bin/python
stamp=$venv/installed

say() { printf '== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# 3.11 first: the version that is tested most. A name on the PATH may be a shim that runs nothing, so each is run.
find_python() {
    local candidate version without_venv=""
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3.10 python3}; do
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        case $version in 3.10 | 3.11 | 3.12 | 3.13) ;; *) continue ;; esac
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
        without_venv="$candidate lacks the venv module: apt-get install python$version-venv"
    done
    fail "${without_venv:-no usable Python found (looked for: ${PYTHON:-python3.11 python3.12 python3.13 python3.10 python3}); \
Python 3.10, 3.11, 3.12 or 3.13 has to be on the PATH, or named by PYTHON=/path/to/python}"
}

# What the environment depends on: a change of any of it makes a new one.
wanted() {
    pwd
    cat requirements/{torch,development}.txt "$ros" requirements/install.sh setup.py setup.cfg
}

renders() {
    "$python" - <<'END'
import sys
from contextlib import closing

import numpy as np

from mobile_vla_ros.sim.gl import RendererError
from mobile_vla_ros.sim.scene import sample_scene
from mobile_vla_ros.sim.world import World

try:
    with closing(World(sample_scene(np.random.default_rng(0)))) as world:
        world.render()
except RendererError as error:
    sys.exit(str(error))
END
}

install_renderer() {
    local reason packages
    reason=$(renders 2>&1) && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "$reason"
    fi
    packages=$("$python" -c 'from mobile_vla_ros.sim.gl import PACKAGES; print(PACKAGES["egl"])')
    say "installing the renderer's system packages: $packages"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $packages >/dev/null
    reason=$(renders 2>&1) || fail "$reason"
}

[ ! -e "$venv" ] || [ -f "$venv/pyvenv.cfg" ] || fail "$venv is there, and is no environment"
[ -f "$ros" ] || fail "no wheels of ROS ${ROS:-} are known: expected kilted or jazzy"
hash=$(wanted | sha256sum | cut -d ' ' -f 1)
if [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ] && "$python" -c '' 2>/dev/null; then
    exit 0
fi

interpreter=$(find_python)
say "environment in $venv with $("$interpreter" --version)"
rm -rf "$venv"
"$interpreter" -m venv "$venv"
pip() { "$python" -m pip -qq "$@"; } # errors only
pip install pip==26.3 # the resolver that comes with Python 3.10 does not end
say "installing torch, then the other packages: a few minutes"
pip install -r requirements/torch.txt
pip install -r requirements/torch.txt -r requirements/development.txt -r "$ros"
pip install --no-deps --no-build-isolation -e .
install_renderer
echo "$hash" >"$stamp"
say "environment ready"
