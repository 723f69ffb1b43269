"""What an exception of the algorithm may say outside: its words, but no values of rows or hyperparameters.

Messages of the algorithm's own `raise` and of libraries may quote data: `could not convert string to float: 'x'`. What
stands in the algorithm's source, the names of columns, and the shapes of tensors are not data and stay; every other
number and quoted text becomes `<value>`. In a message that the algorithm itself composed, `f"bad carrier {name}"`, so
does every word that its source does not hold.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

HIDDEN = "<value>"
_TOKEN = re.compile(
    r"""
    (?P<quoted>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    |(?P<shape>\b\d+(?:[ ]?x[ ]?\d+)+\b|(?<=\[)\d+(?:,[ ]?\d+)*(?=\])|(?<=Size\(\[)[\d, ]+(?=\]\)))
    |(?P<errno>\[Errno[ ]-?\d+\])
    |(?P<bytes>\b\d+(?:\.\d+)?[ ](?:bytes|[KMGT]i?B)\b)
    |(?P<named>(?:dimension|dim|size|rank|line|argument|argument[ ]\#|position|axis|at[ ]index)[ ]:?\#?\d+)
    |(?P<number>[-+]?(?<![A-Za-z_])\d[\d_]*(?:[.:/-]\d+)*(?:e[-+]?\d+)?\b)
    """,
    re.VERBOSE,
)
_WORD = re.compile(rf"{HIDDEN}|\w[\w.+-]*")
_REPEATED = re.compile(rf"{HIDDEN}(?:[ ,:;]*{HIDDEN})+")
_ABOUT_NAMES = (AttributeError, NameError, ImportError, SyntaxError)
_PUBLIC_NUMBERS = {"0", "1", "2"}  # they reveal nothing: every program has them


class Redactor:
    """Hides values in messages.

    Args:
        sources: files of the algorithm; what stands there is its author's word.
        names: of columns, hyperparameters and tensors.
        secrets: values that are hidden wherever they stand: the hyperparameters'.
    """

    def __init__(self, sources: Iterable[Path] = (), names: Iterable[str] = (), secrets: Iterable[str] = ()) -> None:
        self._sources = [path.resolve() for path in sources]
        text = "\n".join(_read(path) for path in self._sources)
        self._known = set(re.findall(r"[\w.+-]+", text)) | set(names)
        self._literals = {literal[1:-1] for literal in re.findall(r"'[^'\n]*'|\"[^\"\n]*\"", text)} | set(names)
        self._secrets = sorted({s for s in secrets if len(s) >= 4 and s not in self._known}, key=len, reverse=True)

    def __call__(self, message: str) -> str:
        """Return the message without values."""
        return _TOKEN.sub(self._replace, self._without_secrets(message))

    def _without_secrets(self, message: str) -> str:
        for secret in self._secrets:
            message = message.replace(secret, HIDDEN)
        return message

    def for_error(self, error: BaseException) -> Callable[[str], str]:
        """Return what hides values in the message of an error; those about names and types quote nothing else."""
        if isinstance(error, _ABOUT_NAMES):
            return self._without_secrets
        return self.composed if self._is_composed(error) else self

    def composed(self, message: str) -> str:
        """Return a message that the algorithm's own code composed, without the words that its source does not hold."""
        words = _WORD.sub(lambda match: match[0] if self._is_known(match[0]) else HIDDEN, self(message))
        return _REPEATED.sub(HIDDEN, words)

    def _is_composed(self, error: BaseException) -> bool:
        frames = traceback.extract_tb(error.__traceback__)
        if not frames or Path(frames[-1].filename).resolve() not in self._sources:
            return False
        return (frames[-1].line or "").startswith("raise ")

    def _is_known(self, word: str) -> bool:
        return word == HIDDEN or word in self._known or word.rstrip(".") in self._known

    def _replace(self, match: re.Match[str]) -> str:
        text = match.group()
        if match.lastgroup == "quoted":
            inside = text[1:-1]
            public = inside in self._literals or inside in self._known or inside.startswith("/opt/ml/")
            return text if public else HIDDEN
        if match.lastgroup == "number":
            return text if text in _PUBLIC_NUMBERS or text in self._known else HIDDEN
        return text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
