"""Analysis templates: approved by the owners of tables, with parameters, and with synthetic output."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.api.cleanrooms.collaboration import (
    AIRLINE,
    BUREAU,
    FLIGHTS,
    WILDCARD,
    Asking,
    Members,
    allow,
    bring_table,
    refused,
)

DAILY = "SELECT late FROM flights WHERE tail = :tail AND hour <= :hour"


def test_a_template_is_written_approved_and_run_with_parameters(members: Members) -> None:
    running = members.running
    airline, bureau = (Asking(running.client(each, "cleanrooms")) for each in (AIRLINE, BUREAU))
    own = {"membershipIdentifier": members.airline}
    declared = [{"name": "tail", "type": "VARCHAR"}, {"name": "hour", "type": "INT", "defaultValue": "2"}]
    written = {**own, "format": "SQL", "source": {"text": DAILY}, "analysisParameters": declared}
    made = airline("CreateAnalysisTemplate", **written, name="daily")["analysisTemplate"]
    other = airline("CreateAnalysisTemplate", **written, name="other")["analysisTemplate"]
    approved = {"allowedAnalyses": [made["arn"]], "additionalAnalyses": "ALLOWED", "disallowedOutputColumns": ["tail"]}
    table = ("travel.flights", ["hour", "late", "tail"], {"custom": approved})
    flights = bring_table(running, BUREAU, members.bureau, *table)
    allow(running, BUREAU, members.bureau, flights, "CUSTOM", WILDCARD)

    channel = members.channel(analysisTemplateArn=made["arn"], parameters={"tail": "N2"})
    hostile = members.channel(analysisTemplateArn=made["arn"], parameters={"tail": "N2' OR '1'='1"})
    refused = [members.channel(analysisTemplateArn=other["arn"], parameters={"tail": "N2"}), members.query(DAILY[:24])]

    assert (channel["status"], channel["numberOfRecords"], hostile["numberOfRecords"]) == ("ACTIVE", 1, 0)
    asked = channel["inputChannel"]["dataSource"]["protectedQueryInputParameters"]["sqlParameters"]
    assert asked == {"analysisTemplateArn": made["arn"], "parameters": {"tail": "N2"}}
    assert all("has not approved" in each["statusDetails"]["message"] for each in refused)
    for given, fault in [({}, "tail: is missing"), ({"tail": "N2", "hour": "1 OR 1=1"}, "not a whole number")]:
        with pytest.raises(ClientError, match=fault):
            members.channel(analysisTemplateArn=made["arn"], parameters={**given, "day": "x"})

    named = {**own, "analysisTemplateIdentifier": other["id"]}
    assert airline("UpdateAnalysisTemplate", **named, description="new")["analysisTemplate"]["description"] == "new"
    listed = airline("ListAnalysisTemplates", **own)["analysisTemplateSummaries"]
    assert [each["name"] for each in listed] == ["other", "daily"]
    of_room = {"collaborationIdentifier": members.collaboration}
    seen = bureau("ListCollaborationAnalysisTemplates", **of_room)["collaborationAnalysisTemplateSummaries"]
    assert [each["arn"] for each in seen] == [other["arn"], made["arn"]]
    assert (
        running.client(AIRLINE, "cleanrooms").delete_analysis_template(**named)["ResponseMetadata"]["HTTPStatusCode"]
        == 204
    )
    arns = [made["arn"], other["arn"]]
    found = bureau("BatchGetCollaborationAnalysisTemplate", **of_room, analysisTemplateArns=arns)
    assert [each["source"]["text"] for each in found["collaborationAnalysisTemplates"]] == [DAILY]
    assert [each["arn"] for each in found["errors"]] == [other["arn"]]
    one = bureau("GetCollaborationAnalysisTemplate", **of_room, analysisTemplateArn=made["arn"])
    assert one["collaborationAnalysisTemplate"]["schema"] == {"referencedTables": ["flights"]}
    with pytest.raises(ClientError, match="ResourceNotFound"):
        airline("GetAnalysisTemplate", **named)


def test_a_template_with_synthetic_output_is_approved_and_shown_like_others(members: Members) -> None:
    running = members.running
    airline = Asking(running.client(AIRLINE, "cleanrooms"))
    columns = {"hour": "NUMERICAL", "late": "CATEGORICAL", "distance": "NUMERICAL", "a": "NUMERICAL", "b": "NUMERICAL"}
    mapping = [
        {"columnName": name, "columnType": kind, "isPredictiveValue": name == "late"} for name, kind in columns.items()
    ]
    parameters: dict[str, Any] = {"epsilon": 1.0, "maxMembershipInferenceAttackScore": 0.6}
    parameters["columnClassification"] = {"columnMapping": mapping}
    synthetic = {"mlSyntheticDataParameters": parameters}
    asked = {
        "membershipIdentifier": members.airline,
        "name": "alike",
        "format": "SQL",
        "source": {"text": "SELECT hour, late, distance, 1 AS a, 2 AS b FROM flights"},
        "syntheticDataParameters": synthetic,
    }
    mapping.append(mapping[0])
    assert refused(airline.client.create_analysis_template, **asked) == "ValidationException"
    del mapping[-1]
    made = airline("CreateAnalysisTemplate", **asked)["analysisTemplate"]
    assert made["syntheticDataParameters"] == synthetic
    (listed,) = airline("ListAnalysisTemplates", membershipIdentifier=members.airline)["analysisTemplateSummaries"]
    assert listed["isSyntheticData"] is True
    approved = {"allowedAnalyses": [made["arn"]], "additionalAnalyses": "ALLOWED"}
    flights = bring_table(running, AIRLINE, members.airline, *FLIGHTS[:2], {"custom": approved})
    allow(running, AIRLINE, members.airline, flights, "CUSTOM", WILDCARD)

    channel = members.channel(analysisTemplateArn=made["arn"])

    assert channel["status"] == "CREATE_FAILED"
    assert "CR-JOB-406" in channel["statusDetails"]["message"]  # 3 rows are too few
    assert channel["syntheticDataConfiguration"] == {"syntheticDataParameters": parameters}
