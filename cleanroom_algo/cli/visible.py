"""Text that others wrote, made safe to print: the terminal shows its control characters instead of obeying them."""

from __future__ import annotations

import re

# C0 but tab and line feed, DEL, C1: what moves the cursor, changes colors or the title, or answers as if it were typed.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    r"""Return a text with each control character written out, an escape as `\x1b`; line feeds and tabs stay."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def visible_json(text: str) -> str:
    r"""Return JSON whose strings hold control characters as `\u001b`, DEL and C1 among them, which JSON lets stand."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
