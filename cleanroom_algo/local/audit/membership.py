"""Membership inference: attacks that try to recognize the rows on which a model of the room was trained."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.errors import AuditError
from cleanroom_algo.local.audit.answers import predicted_scores, right_answers, target_of
from cleanroom_algo.local.audit.rows import numbers, read_rows
from cleanroom_algo.local.audit.scores import ONLY_LABELS
from cleanroom_algo.local.audit.statistics import (
    CONFIDENCE,
    Numbers,
    Separation,
    auc_with_interval,
    likelihood_ratios,
    separation,
)
from cleanroom_algo.local.client import CleanRoom
from cleanroom_algo.local.planning.inputs import algorithm_source, association_of, record_of_job
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.results import TrainedModel
from cleanroom_algo.local.summaries.evaluation import roc

LOSS: Final = "loss threshold"
FPR: Final = 0.01
_FEW: Final = 100  # fewer non-members: 1% of them is less than one row
_SURPRISE: Final = 1e-3  # the probability below which columns of two samples count as different


@dataclass(frozen=True)
class Attack:
    """An attack and its success.

    Attributes:
        name: of the attack.
        separation: of its scores.
        roc: false and true positive rates.
    """

    name: str
    separation: Separation
    roc: tuple[Numbers, Numbers] = field(repr=False)

    @classmethod
    def of(cls, name: str, scores: Numbers, is_member: NDArray[np.bool_]) -> Attack:
        """Return an attack that uses the scores of all rows."""
        members, others = scores[is_member], scores[~is_member]
        return cls(name, separation(members, others, fpr=FPR), roc(members, others))


@dataclass(frozen=True)
class Audit:
    """The results of attacks.

    Attributes:
        model: its name.
        members: the number of rows of the training that were tried.
        non_members: the number of other rows that were tried.
        meaning: of the scores.
        attacks: with their results.
        warnings: reasons to doubt the figures.
        most_allowed: the largest true positive rate that the privacy record of the model allows; None without a record.
    """

    model: str
    members: int
    non_members: int
    meaning: str
    attacks: tuple[Attack, ...]
    warnings: tuple[str, ...]
    most_allowed: float | None

    @property
    def worst(self) -> Attack:
        """The attack with the largest AUC."""
        return max(self.attacks, key=lambda attack: attack.separation.auc)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "model": self.model,
            "members": self.members,
            "nonMembers": self.non_members,
            "score": self.meaning,
            "confidence": CONFIDENCE,
            "falsePositiveRate": FPR,
            "attacks": [{"name": each.name, **_document(each.separation)} for each in self.attacks],
            "mostAllowedByEpsilon": self.most_allowed,
            "warnings": list(self.warnings),
        }


def _document(found: Separation) -> dict[str, Any]:
    values = asdict(found)
    names = {"auc": "auc", "auc_interval": "aucInterval", "tpr": "tpr", "tpr_interval": "tprInterval"}
    return {name: values[key] for key, name in names.items()}


def audit(
    room: CleanRoom,
    model: TrainedModel,
    members: Path,
    non_members: Path,
    *,
    target: str | None = None,
    shadows: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Attack a model.

    Args:
        room: with the model.
        model: to attack.
        members: a folder or file with rows that it was trained on.
        non_members: the same, with rows of the same kind that it was not trained on.
        target: the column to predict; by default that of the model's schema.
        shadows: models to train on random halves of the rows, an even number; 0 for the attack by loss only.
        say: called with a line before each long step.

    Raises:
        AuditError: CR-CLI-009. JobFailed: predicting or training failed.
    """
    target = target_of(model, target)
    rows, is_member, warnings = _rows(members, non_members, target)
    say(f"predicting {rows.height} rows")
    right = right_answers(model, rows[target])
    scores = predicted_scores(room, model, rows.drop(target), right)
    attacks = [Attack.of(LOSS, scores.values, is_member)]
    if shadows:
        ratios = _against_shadows(model, rows, right, scores.values, shadows, say)
        attacks.append(Attack.of(f"LiRA, {shadows} shadow models", ratios, is_member))
    if scores.are_labels:
        warnings.append(ONLY_LABELS)
    return Audit(
        model=model.name,
        members=int(is_member.sum()),
        non_members=int((~is_member).sum()),
        meaning=scores.meaning,
        attacks=tuple(attacks),
        warnings=tuple(warnings),
        most_allowed=_most_allowed(model.manifest.get("privacy")),
    )


def _rows(members: Path, non_members: Path, target: str) -> tuple[pl.DataFrame, NDArray[np.bool_], list[str]]:
    """Return the rows of both, which of them are members, and warnings about them."""
    inside, outside = read_rows(members), read_rows(non_members)
    if inside.columns != outside.columns or target not in inside.columns:
        raise AuditError(
            "members and non-members do not have the same columns"
            if inside.columns != outside.columns
            else f"the rows have no column {target!r}",
            expected="files with the columns of the training channel, the target among them, and a header in CSV",
            fix=f"write both in the same form; members have {', '.join(inside.columns)}, "
            f"non-members {', '.join(outside.columns)}",
        )
    both = pl.concat([inside, outside], how="vertical_relaxed")
    inside, outside = (
        both.head(inside.height).unique(maintain_order=True),
        both.tail(outside.height).unique(maintain_order=True),
    )
    common = inside.join(outside, on=inside.columns, how="semi", nulls_equal=True)
    if common.height:
        inside, outside = (
            each.join(common, on=common.columns, how="anti", nulls_equal=True, maintain_order="left")
            for each in (inside, outside)
        )
    if not inside.height or not outside.height:
        raise AuditError(
            "no members or no non-members are left without the rows that are in both",
            expected="some hundred rows of each",
            fix="give rows of the training with --members, and other rows of the same kind with --non-members",
        )
    return (
        pl.concat([inside, outside]),
        np.arange(inside.height + outside.height) < inside.height,
        list(_doubts(inside, outside, common.height)),
    )


def _doubts(inside: pl.DataFrame, outside: pl.DataFrame, common: int) -> Iterator[str]:
    if common:
        yield f"{common} rows are in both members and non-members, and were left out"
    if outside.height < _FEW:
        yield f"with {outside.height} non-members, a false positive rate of 1% allows no false positive at all"
    columns = {name: (numbers(inside[name]), numbers(outside[name])) for name in inside.columns}
    for name, (given, others) in columns.items():
        if given is None or others is None or not len(given) or not len(others):
            continue
        auc, (low, high) = auc_with_interval(given, others)
        deviation = (high - low) / 4 or math.inf
        if math.erfc(abs(auc - 0.5) / deviation / 2**0.5) * len(columns) < _SURPRISE:
            yield (
                f"members and non-members differ in column {name!r} (AUC {auc:.2f} without any model): the figures "
                "measure this difference, too. Divide one data set at random"
            )


def _against_shadows(
    model: TrainedModel,
    rows: pl.DataFrame,
    right: pl.Series,
    observed: Numbers,
    shadows: int,
    say: Callable[[str], None],
) -> Numbers:
    """Return likelihood ratios of membership, from models of the same algorithm that are trained on half of the rows.

    They are trained in a temporary room, which is removed.
    """
    workspace, document = model.workspace, model.record.document
    source = algorithm_source(workspace, association_of(workspace, model.record), "trainingContainerConfig")
    used = [each["channelName"] for each in document["dataChannels"]]
    own = "train" if "train" in used else used[0]
    places = {
        each["channelName"]: record_of_job(workspace, records.CHANNEL, each["mlInputChannelArn"]).private.get(
            "location"
        )
        for each in document["dataChannels"]
        if each["channelName"] != own
    }
    random = np.random.default_rng(0)
    inside = np.zeros((shadows, rows.height), dtype=bool)
    scores = np.zeros((shadows, rows.height))
    with (
        tempfile.TemporaryDirectory(prefix="cleanroom-audit-") as home,
        CleanRoom(home, host_kind=workspace.settings.machine.host_kind) as room,
    ):
        for number in range(shadows):
            if number % 2:  # the other half, so that each row is in half of all models
                inside[number] = ~inside[number - 1]
            else:
                inside[number, random.permutation(rows.height)[: rows.height // 2]] = True
            say(f"training shadow model {number + 1} of {shadows}")
            shadow = room.train(
                source.image_uri,
                {own: rows.filter(pl.Series(inside[number])), **places},
                name=f"shadow-{number + 1}",
                hyperparameters=document.get("hyperparameters", {}),
                environment=document.get("environment"),
                entrypoint=source.entrypoint or (),
                arguments=source.arguments or (),
            )
            scores[number] = predicted_scores(room, shadow, rows.drop(right.name), right).values
    return likelihood_ratios(observed, scores, inside)


def _most_allowed(privacy: dict[str, Any] | None) -> float | None:
    """Return the largest true positive rate at 1% false positives that a guarantee for rows allows."""
    if privacy is None or privacy["unit"] != "row":
        return None
    epsilon, delta = min(float(privacy["epsilon"]), 700.0), float(privacy["delta"])  # e^710 is too large for a float
    # Both bounds of Kairouz, Oh and Viswanath (2015).
    return min(math.exp(epsilon) * FPR + delta, 1 - math.exp(-epsilon) * (1 - delta - FPR))
