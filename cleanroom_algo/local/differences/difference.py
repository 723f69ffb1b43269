"""One behavior in which the local clean room differs from AWS, or that it had to choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Provenance = Literal["model", "documented", "recorded", "guessed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One behavior.

    Attributes:
        area: the part of the clean room that it concerns.
        operations: operations of the API that it affects; none if it affects only containers.
        here: the behavior of the local clean room, in complete sentences.
        aws: the known behavior of AWS, and what AWS does not document.
        provenance: model (botocore's), documented (a page), recorded (captured from AWS), guessed.
        source: the page, the shape of the model, or the reason for the guess.
        switch: the setting of settings.toml, `[switches]`, that selects another behavior; "" if there is none.
    """

    area: str
    operations: tuple[str, ...]
    here: str
    aws: str
    provenance: Provenance
    source: str
    switch: str = ""


TRAIN = ("CreateTrainedModel",)
INFER = ("StartTrainedModelInferenceJob",)
EXPORT = ("StartTrainedModelExportJob",)
QUERY = ("CreateMLInputChannel",)
