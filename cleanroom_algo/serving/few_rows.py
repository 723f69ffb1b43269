"""A few rows of CSV to features and predictions to lines, without tables: making those takes longer than predicting."""

from __future__ import annotations

from cleanroom_algo.channels.features import Arrays, Features
from cleanroom_algo.channels.formats.csv.decoder import CsvDecoder
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.serving.predictor import Predictor, takes_arrays


class FewRows:
    """Reads lines that are certainly records: no header, quotes or blank lines among them.

    Args:
        features: as they were fitted.
        schema: of the artifacts.
    """

    def __init__(self, features: Features, schema: Schema) -> None:
        self._features = features
        self._names = [column.name for column in schema.features]
        self._decoder = CsvDecoder(schema.without_target(), source="body")

    @classmethod
    def of(cls, predictor: Predictor, schema: Schema) -> FewRows | None:
        """Return what reads for a predictor; None where it sees more of the rows than their features."""
        if not takes_arrays(predictor) or not predictor.artifacts.has_features:
            return None
        features = predictor.artifacts.features
        return cls(features, schema) if features.take_values else None

    def arrays(self, body: bytes) -> Arrays | None:
        """Return the features of a body's rows, the same bits as from a table of them.

        Returns:
            None where a row does not fit or has the target among its fields, or where rows are more than a few.
        """
        rows = self._decoder.values(body)
        return None if rows is None else self._features.transform_values(rows, self._names)
