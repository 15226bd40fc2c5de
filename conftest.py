"""Lets the tests run in a bare checkout: `models/` gets its import name also where nothing is installed."""

import importlib.util
import sys
from pathlib import Path


def _register_models(root: Path) -> None:
    name = "mobile_vla_models"
    if importlib.util.find_spec(name) is not None:
        return
    folder = root / "models"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {name} from {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


_register_models(Path(__file__).parent)
