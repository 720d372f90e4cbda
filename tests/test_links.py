"""The pages of the repository: what they link to is there."""

import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "packages").glob("*/README.md")),
]
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
INLINE_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?)[ #]*$", re.MULTILINE)
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|//")


def links_in(text: str) -> list[str]:
    """Return the targets of the relative links of a page, in order; what stands in code is no link."""
    prose = CODE.sub("", FENCED.sub("", text))
    return [target for target in [*INLINE_LINK.findall(prose), *REFERENCE.findall(prose)] if not ABSOLUTE.match(target)]


def anchors_in(text: str) -> set[str]:
    """Return the anchors that a page's headings make, as GitHub makes them."""
    seen: Counter[str] = Counter()
    anchors = set[str]()
    for heading in HEADING.findall(FENCED.sub("", text)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        kept = [
            "-" if char == " " else char
            for char in shown.lower()
            if char in " -_" or unicodedata.category(char)[0] in "LN"
        ]
        anchor = "".join(kept)
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors


@cache
def anchors_of(page: Path) -> set[str]:
    return anchors_in(page.read_text(encoding="utf-8"))


def fault_of(page: Path, target: str) -> str | None:
    """Return what is wrong with a link, or None."""
    path, _, anchor = target.partition("#")
    found = page if not path else (page.parent / path).resolve()
    if not found.is_relative_to(ROOT) or not found.exists():
        return f"{target}: there is no such file"
    if anchor and (found.suffix != ".md" or anchor not in anchors_of(found)):
        return f"{target}: there is no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    """A reader who follows a link arrives, at the heading too."""
    targets = links_in(page.read_text(encoding="utf-8"))
    assert [] == [fault for target in targets if (fault := fault_of(page, target))]


def test_the_map_leads_to_every_page() -> None:
    """What a user may read is on the map, which the front page links to."""
    mapped = {
        (DOCS / target.partition("#")[0]).resolve()
        for target in links_in((DOCS / "README.md").read_text(encoding="utf-8"))
    }
    rooms = ("tutorial", "how-to", "reference", "explanation")
    assert set[Path]() == {page for room in rooms for page in (DOCS / room).glob("*.md")} - mapped
    assert "docs/README.md" in links_in((ROOT / "README.md").read_text(encoding="utf-8"))


def test_links_and_anchors_are_read_as_github_reads_them() -> None:
    """Code holds no links, a heading loses its marks, and the second of one name is numbered."""
    prose = "# A `b.c`: d_e\n\n[x](y.md#z) `[no](no)` [w](https://example.org)\n\n"
    text = prose + "```text\n# f\n[n](n)\n```\n\n## G!\n\n## G\n"
    assert ["y.md#z"] == links_in(text)
    assert {"a-bc-d_e", "g", "g-1"} == anchors_in(text)
