"""The documentation: generated pages are current, links lead somewhere, code blocks are sound."""

import ast
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from cleanroom_algo.cli.verbs import VERBS
from cleanroom_algo.errors import all_errors
from docs import build, site

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", build.PAGES)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    written = (build.REFERENCE / name).read_text()
    assert written == "".join(f"{line}\n" for line in build.PAGES[name]()), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_error_codes_and_verbs_exist(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"\bCR-[A-Z]{3}-\d{3}\b", text)) <= set(all_errors())
    assert set(re.findall(r"(?:^|`|\$ )cleanroom-algo ([a-z][a-z-]+)", text, re.MULTILINE)) <= set(VERBS)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_parse(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        ast.parse(block)


def test_the_site_has_no_links_to_files_that_it_does_not_hold() -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="guides/a.md"))
    text = site.on_page_markdown("[the policy](../../SECURITY.md), [errors](../reference/errors.md)", page)
    assert text == "the policy (`SECURITY.md` in the repository), [errors](../reference/errors.md)"
    assert {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} == set(
        re.findall(r"\S+\.md", (ROOT / "mkdocs.yml").read_text())
    )


def test_the_file_tree_exists() -> None:
    tree = re.search(r"```\ncleanroom-algo/\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert tree is not None
    folder: list[str] = []
    for line in tree[1].splitlines():
        entry = re.match(r"( +)(\S+)  ", line)
        assert entry is not None, line
        folder[len(entry[1]) // 2 - 1 :] = [entry[2]]
        assert (ROOT / "/".join(folder)).exists(), line
