"""Redacts what a logRedactionConfiguration names.

The service finds personal information by methods that are not documented. Here it is found by its form: e-mail, IP and
MAC addresses, and numbers of telephones, cards, bank accounts and social security. Names and street addresses have no
such form and are not redacted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cleanroom_algo.local.policies.patterns import compile_pattern

_MARK: Final = "\ue000"  # replaces redacted text until all patterns are applied, so that none redacts a placeholder

_PERSONAL: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",  # e-mail
        r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b",  # MAC address
        r"\b(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\b",  # IPv6, written out
        r"\b(?:\d{1,3}\.){3}\d{1,3}\b",  # IPv4
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",  # IBAN
        r"(?<!\w)\+\d{8,15}\b",  # telephone, E.164
        r"\b\d{4}(?:[ -]?\d{4}){2}[ -]?\d{1,7}\b",  # payment cards
        r"\b\d{3}-\d{2}-\d{4}\b",  # US social security
        r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)|\d{3})[ .-]\d{3,4}[ .-]?\d{3,4}(?![\w.])",  # telephone
    )
)
_NUMBERS: Final = (re.compile(r"\d+(?:[.,]\d+)*"),)


def redactor(configuration: Mapping[str, Any] | None, placeholder: str) -> Callable[[str], str]:
    """Return the function that redacts a line.

    Args:
        configuration: the policy's logRedactionConfiguration; None redacts nothing.
        placeholder: replaces redacted text. AWS does not document its own.
    """
    patterns = [*_custom(configuration), *_built_in(configuration)] if configuration else []

    def redact(line: str) -> str:
        for pattern in patterns:
            line = pattern.sub(_MARK, line)
        return line.replace(_MARK, placeholder)

    return redact


def _custom(configuration: Mapping[str, Any]) -> list[re.Pattern[str]]:
    """Return the member's own patterns; one that is not a valid regular expression is matched literally."""
    found = []
    for identifier in configuration.get("customEntityConfig", {}).get("customDataIdentifiers", ()):
        try:
            found.append(compile_pattern(identifier))
        except re.error:
            found.append(re.compile(re.escape(identifier)))
    return found


def _built_in(configuration: Mapping[str, Any]) -> list[re.Pattern[str]]:
    entities = configuration["entitiesToRedact"]
    personal = _PERSONAL if "ALL_PERSONALLY_IDENTIFIABLE_INFORMATION" in entities else ()
    return [*personal, *(_NUMBERS if "NUMBERS" in entities else ())]
