"""What the pages refer to is there: other pages and their headings, files, tests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    for name, function in re.findall(r"`(?:test/[\w/]*/)?(test_\w+\.py)(?:::(\w+))?", page.read_text(encoding="utf-8")):
        (file,) = (ROOT / "test").rglob(name)
        assert f"def {function}(" in file.read_text(encoding="utf-8") or not function, f"{name}::{function}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    folders = "mobile_vla_ros|models|test|config|launch|docker|docs|requirements"
    for name in re.findall(
        rf"`((?:{folders})/[\w./-]+\.(?:py|yaml|xml|json|rviz|md|sh))`", page.read_text(encoding="utf-8")
    ):
        assert (ROOT / name).exists(), name
