"""Makes text of others safe to print: the terminal shows its control characters instead of executing them."""

from __future__ import annotations

import re

# C0 except tab and line feed, DEL, C1: they move the cursor, change colors or the title, or simulate typed input.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    r"""Return a text with each control character escaped, such as `\x1b`; line feeds and tabs stay."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def visible_json(text: str) -> str:
    r"""Return JSON with all control characters in strings as `\u001b`, also DEL and C1, which JSON need not escape."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
