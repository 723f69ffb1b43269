"""A hook of the documentation site: links to files outside docs/ become plain text, as the site does not hold them."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)#\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the text of a page with links that lead out of docs/ replaced by the path in the repository."""
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def plain(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        return match[0] if target.startswith("docs/") else f"{match[1]} (`{target}` in the repository)"

    return _LINK.sub(plain, markdown)
