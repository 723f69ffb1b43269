"""From the record of an ML input channel to the plan of its query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleanroom_algo.local.query.plan import QueryPlan
from cleanroom_algo.local.query.spark import MAX_RECORDS, spark_properties
from cleanroom_algo.local.query.tables import table_access
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace


def query_plan(workspace: Workspace, record: Record) -> QueryPlan:
    """Return what the query of a channel's record will do."""
    parameters: Mapping[str, Any] = record.document["inputChannel"]["dataSource"]["protectedQueryInputParameters"]
    switches = workspace.settings.switches
    return QueryPlan(
        query=parameters["sqlParameters"]["queryString"],
        access=table_access(workspace.store, record.collaboration, record.parent, record.account),
        directory=workspace.files.channel(record),
        result_format=parameters.get("resultFormat", "CSV"),
        header=switches.channel_header == "header",
        extension=switches.channel_file_names == "spark",
        engine=workspace.settings.machine.query_engine,
        max_records=int(spark_properties(parameters).get(MAX_RECORDS, 0)),
    )
