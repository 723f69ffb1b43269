"""ML input channels: the query of a channel's record, run over the tables that its collaboration shows."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.local.jobs.context import JobContext, JobResult
from cleanroom_algo.local.query.engines.duckdb import run
from cleanroom_algo.local.query.plan import CSV_DIALECT, QueryPlan
from cleanroom_algo.local.query.spark import MAX_RECORDS, spark_properties
from cleanroom_algo.local.query.tables import table_access


def run_query(context: JobContext) -> JobResult:
    """Run the query of an ML input channel's record."""
    record, room = context.record, context.room
    parameters: Mapping[str, Any] = record.document["inputChannel"]["dataSource"]["protectedQueryInputParameters"]
    outcome = run(
        QueryPlan(
            query=parameters["sqlParameters"]["queryString"],
            access=table_access(room.store, record.collaboration, record.parent, record.account),
            directory=room.channel_directory(record),
            result_format=parameters.get("resultFormat", "CSV"),
            header=room.settings.switches.channel_header == "header",
            extension=room.settings.switches.channel_file_names == "spark",
            max_records=int(spark_properties(parameters).get(MAX_RECORDS, 0)),
        )
    )
    return JobResult(
        document={
            "numberOfRecords": outcome.records,
            "numberOfFiles": float(outcome.files),
            "sizeInGb": outcome.bytes / GB,
            "protectedQueryIdentifier": str(uuid.uuid4()),
        },
        private={
            "has_header": room.settings.switches.channel_header == "header",
            "dialect": CSV_DIALECT if parameters.get("resultFormat", "CSV") == "CSV" else None,
            "warnings": list(outcome.warnings),
        },
    )
