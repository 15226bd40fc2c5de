from pathlib import Path

from setuptools import find_packages, setup

NAME = "mobile_vla_ros"
SHARE = Path("share") / NAME


def share_files(*folders: str) -> list[tuple[str, list[str]]]:
    """Every file below the folders, under the same path below share/mobile_vla_ros."""
    files: dict[str, list[str]] = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files.setdefault(str(SHARE / path.parent), []).append(str(path))
    return list(files.items())


setup(
    name=NAME,
    version="0.1.0",
    description="Lets a wheeled robot follow instructions in words",
    license="Apache-2.0",
    maintainer="mobile_vla_ros maintainers",
    maintainer_email="maintainers@mobile-vla-ros.invalid",
    python_requires=">=3.10",
    # `models/` is imported as mobile_vla_models; `models` itself is never a package.
    package_dir={"mobile_vla_models": "models"},
    packages=[
        *find_packages(include=["mobile_vla_ros", "mobile_vla_ros.*"]),
        "mobile_vla_models",
        *(f"mobile_vla_models.{package}" for package in find_packages("models")),
    ],
    package_data={"mobile_vla_ros": ["py.typed"], "mobile_vla_models": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (str(SHARE), ["package.xml"]),
        *share_files("launch", "config", "policies", "systemd"),
    ],
    zip_safe=False,
    install_requires=["setuptools", "numpy>=1.21", "PyYAML"],
    extras_require={
        # No lower bound for torch beside the one of transformers: whatever build a machine has is kept.
        "policy": [
            "torch",
            "accelerate",
            "rich",
            "transformers>=5.5.4",
            "tokenizers",
            "safetensors",
            "pillow",
            "pydantic>=2",
            "opencv-python-headless",
        ],
        # A robot that runs an export needs onnxruntime (on a Jetson NVIDIA's onnxruntime-gpu) alone.
        "onnx": ["onnx", "onnx-ir>=0.1", "onnxruntime", "onnxscript"],
        # matplotlib: the pages of `mobile-vla data audit` and `mobile-vla evaluate`.
        "train": ["av>=17", "h5py", "matplotlib", "peft", "pyarrow", "rich", "rosbags>=0.11", "tensorboard", "typer"],
        "sim": [
            "av",
            "matplotlib",
            "mujoco>=3.17",
            "opencv-python-headless",
            "pillow",
            "rich",
            "rosbags>=0.11",
            "typer",
        ],
        # colcon runs pytest only where this extra names it.
        "test": ["pytest>=8", "hypothesis", "pytest-rerunfailures", "pytest-timeout"],
    },
    entry_points={
        "console_scripts": [
            "mobile-vla = mobile_vla_ros.cli.program:main",
            "policy_node = mobile_vla_ros.policy_node.node:main",
            "policy_server = mobile_vla_ros.remote.server:main",
            "sim_robot = mobile_vla_ros.sim_robot:main",
        ],
    },
)
