"""Measures whether a model has memorized texts: the exposure of planted canaries (Carlini and others, 2019)."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.errors import AuditError, UsageError
from cleanroom_algo.local.audit.answers import predicted_scores, right_answers, target_of
from cleanroom_algo.local.audit.rows import read_rows
from cleanroom_algo.local.audit.scores import ONLY_LABELS, Scores
from cleanroom_algo.local.audit.statistics import Numbers, fisher
from cleanroom_algo.local.client import CleanRoom
from cleanroom_algo.local.results import TrainedModel

_ALPHABETS: Final[Mapping[str, str]] = {"digits": string.digits, "letters": string.ascii_lowercase}
_RANDOM: Final = re.compile(rf"\{{({'|'.join(_ALPHABETS)}):([1-9]\d?)\}}")
_COPIES: Final = "\0copies"  # cannot be the name of a column in a file
_TIES: Final = 0.01  # the share of references with an equal score that causes a warning


class CanaryFormat:
    """The format of canaries, such as `my pin is {digits:6}`.

    Args:
        text: with at least one random part: `{digits:N}`, or `{letters:N}` for lowercase letters.

    Attributes:
        text: the argument.
        size: the number of different canaries of this format.

    Raises:
        UsageError: CR-CLI-001, there is no random part, or a part is unknown.
    """

    def __init__(self, text: str) -> None:
        pieces = _RANDOM.split(text)
        self.text = text
        self._fixed = pieces[::3]
        self._random = [
            (_ALPHABETS[name], int(length)) for name, length in zip(pieces[1::3], pieces[2::3], strict=True)
        ]
        if not self._random or any(set(fixed) & set("{}") for fixed in self._fixed):
            raise UsageError(
                f"the format {text!r} has no random part, or a part that is unknown",
                expected="a text with {digits:N} or {letters:N}, where N is the number of characters, from 1 to 99",
                fix="--format 'my pin is {digits:6}', in single quotes",
            )
        self.size = 1
        expression = re.escape(self._fixed[0])
        for (alphabet, length), fixed in zip(self._random, self._fixed[1:], strict=True):
            self.size *= len(alphabet) ** length
            expression += f"[{alphabet}]{{{length}}}{re.escape(fixed)}"
        self._expression = re.compile(expression)

    def fits(self, text: object) -> bool:
        """Return whether a value is a canary of this format."""
        return isinstance(text, str) and self._expression.fullmatch(text) is not None

    def draw(self, generator: np.random.Generator, count: int) -> list[str]:
        """Return random canaries; some can be equal."""
        texts = [self._fixed[0]] * count
        for (alphabet, length), fixed in zip(self._random, self._fixed[1:], strict=True):
            drawn = np.array(list(alphabet))[generator.integers(len(alphabet), size=(count, length))]
            texts = [text + "".join(part) + fixed for text, part in zip(texts, drawn.tolist(), strict=True)]
        return texts


@dataclass(frozen=True)
class Canary:
    """The exposure of a planted canary.

    Attributes:
        text: the planted text.
        copies: how often the row is in the file.
        rank: 1 if the model predicts the canary better than all references.
        exposure: log2(references + 1) - log2(rank).
    """

    text: str
    copies: int
    rank: int
    exposure: float


@dataclass(frozen=True)
class CanaryAudit:
    """The exposure of all canaries.

    Attributes:
        model: the name of the model.
        column: the column that contains the canaries.
        references: the number of references per canary: texts that were not planted.
        meaning: the meaning of the scores that decide the ranks.
        canaries: sorted, the most exposed first.
        warnings: reasons to doubt the figures.
    """

    model: str
    column: str
    references: int
    meaning: str
    canaries: tuple[Canary, ...]
    warnings: tuple[str, ...]

    @property
    def mean(self) -> float:
        """The mean exposure."""
        return float(np.mean([each.exposure for each in self.canaries]))

    @property
    def largest_possible(self) -> float:
        """The exposure at rank 1."""
        return float(np.log2(self.references + 1))

    @property
    def by_chance(self) -> float:
        """The expected exposure of a canary on which the model was not trained."""
        return float(exposures(np.arange(1, self.references + 2), self.references).mean())

    @property
    def p_value(self) -> float:
        """The probability of exposures at least this large if the model was not trained on the canaries."""
        return fisher(np.array([each.rank / (self.references + 1) for each in self.canaries]))

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "model": self.model,
            "column": self.column,
            "references": self.references,
            "score": self.meaning,
            "canaries": [asdict(each) for each in self.canaries],
            "meanExposure": self.mean,
            "meanExposureByChance": self.by_chance,
            "largestPossibleExposure": self.largest_possible,
            "pValue": self.p_value,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Trial:
    """Planted canaries, each followed by its references.

    Attributes:
        column: the column that contains the canaries.
        planted: the distinct planted rows.
        copies: how often each of them was planted.
        references: the number of references per canary.
        rows: each planted row, followed by its references, which differ from it only in the canary.
    """

    column: str
    planted: pl.DataFrame
    copies: tuple[int, ...]
    references: int
    rows: pl.DataFrame

    @classmethod
    def of(cls, planted: pl.DataFrame, canary: CanaryFormat, references: int) -> Trial:
        """Make the references of planted rows.

        Args:
            planted: rows with canaries in one column; a row can occur several times.
            canary: the format of the canaries.
            references: the number of references per canary; fewer if the format does not have so many texts.

        Raises:
            AuditError: CR-CLI-009, no column contains the canaries, or all canaries of the format were planted.
        """
        column = _column(planted, canary)
        counted = planted.group_by(planted.columns, maintain_order=True).agg(pl.len().alias(_COPIES))
        planted = counted.drop(_COPIES)
        texts = set(planted[column])
        count = min(references, canary.size - len(texts))
        if count < 1:
            raise AuditError(
                f"all canaries of the format {canary.text!r} were planted",
                expected="a format with many more texts than the planted canaries",
                fix="plant canaries with a longer random part",
            )
        generator = np.random.default_rng(0)
        drawn: list[str] = []
        for text in planted[column]:
            found: dict[str, None] = {}
            while len(found) < count:
                found |= {each: None for each in canary.draw(generator, count) if each not in texts}
            drawn += [text, *list(found)[:count]]
        rows = planted[np.repeat(np.arange(planted.height), count + 1)].with_columns(pl.Series(column, drawn))
        return cls(column, planted, tuple(counted[_COPIES]), count, rows)

    def canaries(self, scores: Numbers) -> tuple[Canary, ...]:
        """Return the canaries with their exposures, the most exposed first.

        Args:
            scores: of all rows; high if the model predicts the row well.
        """
        table = scores.reshape(self.planted.height, -1)
        ranks = 1 + (table[:, 1:] >= table[:, :1]).sum(axis=1)
        values = zip(self.planted[self.column], self.copies, ranks, exposures(ranks, self.references), strict=True)
        canaries = [Canary(text, copies, int(rank), float(exposure)) for text, copies, rank, exposure in values]
        return tuple(sorted(canaries, key=lambda each: each.rank))

    def ties(self, scores: Numbers) -> int:
        """Return how many canaries have the same score as several of their references."""
        table = scores.reshape(self.planted.height, -1)
        return int(((table[:, 1:] == table[:, :1]).mean(axis=1) > _TIES).sum())


def exposures(ranks: NDArray[np.int64], references: int) -> Numbers:
    """Return the exposures of ranks."""
    values: Numbers = np.log2(references + 1) - np.log2(ranks)
    return values


def audit_canaries(
    room: CleanRoom,
    model: TrainedModel,
    place: Path,
    canary: CanaryFormat,
    *,
    references: int = 1000,
    target: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> CanaryAudit:
    """Compare how well a model predicts planted canaries and other texts of the same format.

    Args:
        room: the clean room that contains the model.
        model: the model to audit.
        place: a folder or file with the planted rows.
        canary: the format of the canaries.
        references: the number of references per canary.
        target: the column that the model predicts; by default the target of its schema.
        say: receives a message before each slow step.

    Raises:
        AuditError: CR-CLI-009. JobFailed: predicting failed.
    """
    target = target_of(model, target)
    trial = Trial.of(read_rows(place), canary, references)
    _check_target(trial, target)
    say(f"predicting {trial.rows.height:,} rows")
    answers = trial.rows[target] if target == trial.column else right_answers(model, trial.rows[target])
    scores = predicted_scores(room, model, trial.rows.drop(target), answers)
    return CanaryAudit(
        model=model.name,
        column=trial.column,
        references=trial.references,
        meaning=scores.meaning,
        canaries=trial.canaries(scores.values),
        warnings=tuple(_doubts(trial, scores, target)),
    )


def _column(planted: pl.DataFrame, canary: CanaryFormat) -> str:
    fitting = {name: sum(map(canary.fits, planted[name])) for name in planted.columns}
    found = [name for name, count in fitting.items() if count and count == planted.height]
    if len(found) == 1:
        return found[0]
    best = max(fitting, key=lambda name: fitting[name], default=None)
    what = f"column {best!r} has {fitting[best]} in {planted.height} rows" if best else "there are no columns"
    raise AuditError(
        f"columns {', '.join(found)} all have canaries of the format {canary.text!r}"
        if found
        else f"no column has a canary of the format {canary.text!r} in each row; {what}",
        expected="planted rows; one column contains a canary, and nothing else, in each row",
        fix="name the file with the rows that you added to the training data, and the format of their canaries",
    )


def _check_target(trial: Trial, target: str) -> None:
    if target not in trial.planted.columns or trial.planted.width == 1:
        raise AuditError(
            f"the planted rows have no column {target!r}"
            if target not in trial.planted.columns
            else f"the planted rows have only the column {target!r}, which the model predicts",
            expected="the columns of the training channel, the target among them, and a header in CSV",
            fix="plant complete rows, or name another column with --target",
        )
    if count := trial.planted[target].null_count():
        raise AuditError(
            f"the target {target!r} is null in {count} planted rows",
            expected="a target in each row",
            fix="remove these rows",
        )
    if target == trial.column and all(text.isdigit() for text in trial.planted[target]):
        raise AuditError(
            f"the canaries in the target {target!r} are numbers, and predictions of numbers can lose leading zeros",
            expected="canaries that contain other characters than digits",
            fix="plant canaries such as 'pin {digits:6}', and train again",
        )


def _doubts(trial: Trial, scores: Scores, target: str) -> Iterator[str]:
    if trial.column == target:
        yield "only the answers were compared; an attacker who can sample answers or see probabilities can learn more"
    elif scores.are_labels:
        yield ONLY_LABELS
    elif ties := trial.ties(scores.values):
        yield (
            f"{ties} canaries have the same score as several references. Equal scores count against the canary, so the "
            "true exposure can be larger. If probabilities are rounded to 0 or 1, let the Predictor return logits"
        )
