"""Where the files beside the code are: presets of config/ and the policies that are shipped."""

from pathlib import Path


def share_path(relative: str) -> Path:
    """Find a file or folder that comes with this package, such as `config/policy_node.yaml`.

    In a checkout it lies at that place, in an installation (colcon or pip) below `share/mobile_vla_ros`.

    Raises:
        FileNotFoundError: it is in neither.
    """
    module = Path(__file__).resolve()
    checkout = module.parents[1]
    places = [checkout / relative] if (checkout / "package.xml").is_file() else []
    places += [prefix / "share" / "mobile_vla_ros" / relative for prefix in module.parents]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"{relative} did not come with mobile_vla_ros installed at {module.parent}")
