"""One behavior in which the local clean room differs from AWS, or had to choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Provenance = Literal["model", "documented", "recorded", "guessed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One behavior.

    Attributes:
        area: what it concerns.
        operations: of the API that it touches; none where it concerns the containers alone.
        here: what happens here.
        aws: what AWS is known to do, or what is not known.
        provenance: model (botocore's), documented (a page), recorded (captured from AWS), guessed.
        source: the page, the model's shape, or why it was guessed so.
        switch: the setting of settings.toml, `[switches]`, that chooses the other reading; "" where there is none.
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
