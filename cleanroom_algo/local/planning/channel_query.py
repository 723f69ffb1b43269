"""From the record of an ML input channel to the plan of its query."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from cleanroom_algo.errors import QueryError
from cleanroom_algo.local.query.plan import QueryPlan, SyntheticColumn, SyntheticPlan
from cleanroom_algo.local.query.spark import MAX_RECORDS, spark_properties
from cleanroom_algo.local.query.tables import table_access
from cleanroom_algo.local.resources.arns import ANALYSIS_TEMPLATE
from cleanroom_algo.local.resources.settings import Quotas
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace


def query_plan(workspace: Workspace, record: Record) -> QueryPlan:
    """Return the plan of the query of a channel's record.

    Raises:
        QueryError: CR-JOB-401, its analysis template no longer exists.
    """
    from cleanroom_algo.local.query.templates import parameters_of  # importing sqlglot takes time

    parameters: Mapping[str, Any] = record.document["inputChannel"]["dataSource"]["protectedQueryInputParameters"]
    switches = workspace.settings.switches
    sql = parameters["sqlParameters"]
    template = _template(workspace, sql["analysisTemplateArn"]) if "analysisTemplateArn" in sql else None
    return QueryPlan(
        query=sql["queryString"] if template is None else template.document["source"]["text"],
        parameters=() if template is None else parameters_of(template.document, sql.get("parameters", {})),
        access=table_access(workspace.store, record.collaboration, record.parent, record.account, template),
        directory=workspace.files.channel(record),
        result_format=parameters.get("resultFormat", "CSV"),
        dialect=switches.channel_csv_dialect,
        header=switches.channel_header == "header",
        extension=switches.channel_file_names == "spark",
        engine=workspace.settings.machine.query_engine,
        spark=tuple(sorted(workspace.settings.spark.items())),
        s3_endpoint=workspace.settings.machine.s3_url,
        ansi=switches.spark_ansi == "on",
        int96=switches.channel_parquet_timestamps == "int96",
        max_records=int(spark_properties(parameters).get(MAX_RECORDS, 0)),
        synthetic=_synthetic(record, workspace.settings.quotas),
    )


def tables_of(plan: QueryPlan) -> list[str]:
    """Return the names of the tables that a query uses, in lower case.

    Raises:
        QueryError: CR-JOB-401, the text is not a query.
    """
    from cleanroom_algo.local.query.parsing import parse
    from cleanroom_algo.local.query.resolution import referenced_tables
    from cleanroom_algo.local.query.templates import placeholders

    return referenced_tables(parse(plan.query, placeholders(each.name for each in plan.parameters)))


def _synthetic(record: Record, quotas: Quotas) -> SyntheticPlan | None:
    if "syntheticDataConfiguration" not in record.document:
        return None
    asked = record.document["syntheticDataConfiguration"]["syntheticDataParameters"]
    return SyntheticPlan(
        epsilon=asked["epsilon"],
        max_attack_score=asked["maxMembershipInferenceAttackScore"],
        columns=tuple(
            SyntheticColumn(each["columnName"], each["columnType"] == "CATEGORICAL", each["isPredictiveValue"])
            for each in asked["columnClassification"]["columnMapping"]
        ),
        rows=quotas.synthetic_rows if quotas.enabled else (2, sys.maxsize),
        categories=quotas.synthetic_categories if quotas.enabled else sys.maxsize,
    )


def _template(workspace: Workspace, arn: str) -> Record:
    found = workspace.store.get(ANALYSIS_TEMPLATE, arn)
    if found is None:
        raise QueryError(
            "the analysis template of the channel was deleted before its query ran",
            expected="a template that exists until the channel is ACTIVE",
            fix="create the template and the channel again",
        )
    return found
