"""Three accounts, from nothing to predictions with boto3 alone; what each is shown and refused; members who leave."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from cleanroom_algo.local.operations.registry import cleanrooms_operation
from cleanroom_algo.local.service_model.shapes import CLEANROOMS, operation_model, operation_names
from tests.local.api.cleanrooms.collaboration import (
    AIRLINE,
    ANALYST,
    BUREAU,
    FLIGHTS,
    LISTED,
    WEATHER,
    WILDCARD,
    Asking,
    Members,
    allow,
    bring_table,
    collaboration,
    refused,
)
from tests.local.api.server import Up
from tests.local.api.shapes import example
from tests.local.api.test_http import until
from tests.local.support import ROLE, STRANGER


def test_three_accounts_go_from_nothing_to_predictions(members: Members) -> None:
    running = members.running
    flights = bring_table(running, AIRLINE, members.airline, *FLIGHTS)
    weather = bring_table(running, BUREAU, members.bureau, *WEATHER)
    allow(running, AIRLINE, members.airline, flights, "CUSTOM", WILDCARD)
    allow(running, BUREAU, members.bureau, weather, "LIST", members.association)
    channel = members.query()
    assert channel["status"] == "ACTIVE", channel["statusDetails"]
    assert channel["numberOfRecords"] == 3
    for account, membership in ((BUREAU, members.bureau), (ANALYST, members.analyst)):
        destination = {"s3Destination": {"s3Uri": f"s3://of-{account}/out"}}
        running.client(account).put_ml_configuration(
            membershipIdentifier=membership,
            defaultOutputLocation={"destination": destination, "roleArn": ROLE},
        )

    client, own = running.client(AIRLINE), {"membershipIdentifier": members.airline}
    model = client.create_trained_model(
        **own,
        name="model",
        configuredModelAlgorithmAssociationArn=members.association,
        resourceConfig={"instanceType": "ml.m5.2xlarge", "volumeSizeInGB": 1},
        dataChannels=[{"mlInputChannelArn": channel["mlInputChannelArn"], "channelName": "train"}],
    )["trainedModelArn"]
    trained = until(lambda: client.get_trained_model(**own, trainedModelArn=model), "ACTIVE", "CREATE_FAILED")
    assert trained["status"] == "ACTIVE", trained["statusDetails"]
    assert trained["mlModelTrainingPayerAccountId"] == BUREAU

    job = client.start_trained_model_inference_job(
        **own,
        name="inference",
        trainedModelArn=model,
        resourceConfig={"instanceType": "ml.m5.2xlarge", "instanceCount": 2},
        outputConfiguration={"accept": "text/csv", "members": [{"accountId": ANALYST}]},
        dataSource={"mlInputChannelArn": channel["mlInputChannelArn"]},
    )["trainedModelInferenceJobArn"]
    named = {**own, "trainedModelInferenceJobArn": job}
    inferred = until(lambda: client.get_trained_model_inference_job(**named), "ACTIVE", "CREATE_FAILED")
    assert inferred["status"] == "ACTIVE", inferred["statusDetails"]
    assert inferred["mlModelInferencePayerAccountId"] == AIRLINE  # who queries pays by default
    place = running.home / "s3" / f"of-{ANALYST}" / "out" / members.collaboration / "model" / AIRLINE / "inference"
    assert len(list(place.glob("*.out"))) == channel["numberOfFiles"]


def test_what_was_made_is_shown_to_those_it_concerns(members: Members) -> None:
    running = members.running
    association = bring_table(running, BUREAU, members.bureau, *WEATHER)
    airline, bureau = (Asking(running.client(each, "cleanrooms")) for each in (AIRLINE, BUREAU))
    of_room = {"collaborationIdentifier": members.collaboration}
    assert airline("GetCollaboration", **of_room)["collaboration"]["memberStatus"] == "ACTIVE"
    ids = [each["id"] for each in bureau("ListCollaborations")["collaborationList"]]
    assert members.collaboration in ids

    listed = bureau.client.get_paginator("list_members").paginate(**of_room, PaginationConfig={"PageSize": 1})
    shown = {each["accountId"]: each for page in listed for each in page["memberSummaries"]}
    assert list(shown) == [AIRLINE, BUREAU, ANALYST]
    assert bureau("ListMembers", **of_room)["memberSummaries"] == list(shown.values())
    assert shown[BUREAU]["paymentConfiguration"]["machineLearning"]["modelTraining"] == {"isResponsible": True}
    own = bureau("GetMembership", membershipIdentifier=members.bureau)["membership"]
    assert own["mlMemberAbilities"] == {"customMLMemberAbilities": ["CAN_RECEIVE_MODEL_OUTPUT"]}
    assert members.bureau in [each["id"] for each in bureau("ListMemberships", status="ACTIVE")["membershipSummaries"]]

    named = {"membershipIdentifier": members.bureau, "configuredTableAssociationIdentifier": association}
    shown_table = bureau("GetConfiguredTableAssociation", **named)["configuredTableAssociation"]
    table = {"configuredTableIdentifier": shown_table["configuredTableId"]}
    rule = bureau("GetConfiguredTableAnalysisRule", **table, analysisRuleType="LIST")["analysisRule"]
    assert rule["policy"] == {"v1": LISTED}
    assert bureau("GetConfiguredTable", **table)["configuredTable"]["tableType"] == "GLUE"
    tables = bureau("ListConfiguredTables")["configuredTableSummaries"]
    assert shown_table["configuredTableId"] in [each["id"] for each in tables]
    of_bureau = bureau("ListConfiguredTableAssociations", membershipIdentifier=members.bureau)
    assert [each["id"] for each in of_bureau["configuredTableAssociationSummaries"]] == [association]
    with pytest.raises(ClientError, match="ResourceNotFound"):
        bureau("GetConfiguredTableAssociationAnalysisRule", **named, analysisRuleType="LIST")
    (summary,) = airline("ListSchemas", **of_room, schemaType="TABLE")["schemaSummaries"]
    assert (summary["name"], summary["creatorAccountId"]) == ("weather", BUREAU)
    schema = airline("GetSchema", **of_room, name="WEATHER")["schema"]
    assert schema["columns"] == [{"name": "hour", "type": "bigint"}, {"name": "wind", "type": "bigint"}]
    assert schema["schemaStatusDetails"][0]["reasons"][0]["code"] == "COLLABORATION_ANALYSIS_RULE_NOT_CONFIGURED"
    allow(running, BUREAU, members.bureau, association, "LIST", WILDCARD)
    several = airline("BatchGetSchema", **of_room, names=["weather", "none"])
    assert [each["schemaStatusDetails"][0]["status"] for each in several["schemas"]] == ["READY"]
    assert [each["name"] for each in several["errors"]] == ["none"]
    of_table = {**of_room, "name": "weather", "type": "LIST"}
    assert airline("GetSchemaAnalysisRule", **of_table)["analysisRule"]["policy"] == {"v1": LISTED}
    allowed = bureau("GetConfiguredTableAssociationAnalysisRule", **named, analysisRuleType="LIST")["analysisRule"]
    assert allowed["policy"] == {"v1": {"list": {"allowedAdditionalAnalyses": [WILDCARD]}}}
    with pytest.raises(ClientError, match="ResourceNotFound"):
        airline("GetConfiguredTable", **table)


def test_members_leave_are_removed_and_see_the_end(members: Members) -> None:
    running = members.running
    airline, bureau, analyst = (Asking(running.client(each, "cleanrooms")) for each in (AIRLINE, BUREAU, ANALYST))
    of_room = {"collaborationIdentifier": members.collaboration}
    associated = bring_table(running, BUREAU, members.bureau, *WEATHER)
    allow(running, BUREAU, members.bureau, associated, "LIST", WILDCARD)
    joining = {**of_room, "queryLogStatus": "DISABLED"}

    assert refused(bureau.client.update_collaboration, **of_room, name="x") == "AccessDeniedException"
    assert airline("UpdateCollaboration", **of_room, name="renamed")["collaboration"]["name"] == "renamed"
    own = {"membershipIdentifier": members.analyst}
    assert analyst("UpdateMembership", **own, queryLogStatus="ENABLED")["membership"]["queryLogStatus"] == "ENABLED"
    analyst("DeleteMembership", **own)
    assert refused(analyst.client.create_membership, **joining) == "AccessDeniedException"
    leaving = {"membershipIdentifier": members.bureau}
    assert refused(bureau.client.delete_membership, **leaving) == "ConflictException"
    airline("DeleteMember", **of_room, accountId=BUREAU)
    assert bureau("GetMembership", **leaving)["membership"]["status"] == "REMOVED"
    assert refused(bureau.client.list_configured_table_associations, **leaving) == "AccessDeniedException"
    assert "is not a table" in members.query("SELECT wind FROM weather")["statusDetails"]["message"]
    statuses = [each["status"] for each in airline("ListMembers", **of_room)["memberSummaries"]]
    assert statuses == ["ACTIVE", "REMOVED", "LEFT"]

    ending = {"membershipIdentifier": members.airline}
    assert refused(airline.client.delete_membership, **ending) == "ConflictException"  # its algorithm is associated
    airline("DeleteCollaboration", **of_room)
    assert airline("GetMembership", **ending)["membership"]["status"] == "COLLABORATION_DELETED"
    assert refused(airline.client.get_collaboration, **of_room) == "AccessDeniedException"
    airline("DeleteMembership", **ending)
    bureau("DeleteMembership", **leaving)
    assert refused(airline.client.get_membership, **ending) == "AccessDeniedException"


def test_what_members_say_of_payers_logs_and_cleartext_is_shown(server: Up) -> None:
    """AWS's own set-up scripts send dataEncryptionMetadata, which changes nothing where cleartext is allowed."""
    synthetic = {"machineLearning": {"syntheticDataGeneration": {"isResponsible": True}}}
    clear = dict.fromkeys(
        ("allowCleartext", "allowDuplicates", "allowJoinsOnColumnsWithDifferentNames", "preserveNulls"), True
    )
    airline, bureau = server.client(AIRLINE, "cleanrooms"), server.client(BUREAU, "cleanrooms")
    made = collaboration(
        server,
        dataEncryptionMetadata=clear,
        members=[
            {
                "accountId": BUREAU,
                "memberAbilities": [],
                "displayName": "bureau",
                "paymentConfiguration": {"queryCompute": {"isResponsible": False}, **synthetic},
            }
        ],
    )
    joining = {"collaborationIdentifier": made, "queryLogStatus": "ENABLED", "jobLogStatus": "ENABLED"}

    with pytest.raises(ClientError, match="syntheticDataGeneration"):
        bureau.create_membership(**joining)
    accepted = {"queryCompute": {"isResponsible": False}, **synthetic}
    joined = bureau.create_membership(**joining, isMetricsEnabled=True, paymentConfiguration=accepted)["membership"]

    assert airline.get_collaboration(collaborationIdentifier=made)["collaboration"]["dataEncryptionMetadata"] == clear
    assert (joined["queryLogStatus"], joined["jobLogStatus"], joined["isMetricsEnabled"]) == (
        "ENABLED",
        "ENABLED",
        True,
    )
    assert joined["paymentConfiguration"]["machineLearning"]["syntheticDataGeneration"] == {"isResponsible": True}


def calls(running: Up, members: Members) -> list[tuple[str, Callable[[], Any]]]:
    """Return what must be refused, with the error's name."""
    airline, bureau = running.client(AIRLINE, "cleanrooms"), running.client(BUREAU, "cleanrooms")
    stranger = running.client(STRANGER, "cleanrooms")
    joining = {"collaborationIdentifier": members.collaboration, "queryLogStatus": "DISABLED"}
    glue = {"allowedColumns": ["hour"], "analysisMethod": "DIRECT_QUERY", "name": "t"}

    def table(database: str, name: str) -> Any:
        reference = {"glue": {"databaseName": database, "tableName": name}}
        return bureau.create_configured_table(**glue, tableReference=reference)

    made = table("sky", "weather")["configuredTable"]["id"]

    def rule(**policy: Any) -> Any:
        (kind,) = policy
        return bureau.create_configured_table_analysis_rule(
            configuredTableIdentifier=made, analysisRuleType=kind.upper(), analysisRulePolicy={"v1": policy}
        )

    def template(text: str, **parameter: str) -> Any:
        own = {"membershipIdentifier": members.airline, "name": "template", "format": "SQL"}
        return airline.create_analysis_template(
            **own, source={"text": text}, analysisParameters=[parameter] if parameter else []
        )

    twice = [{"accountId": AIRLINE, "memberAbilities": [], "displayName": "again"}]
    budget = {"columns": [{"name": "hour"}]}
    fresh = collaboration(running)
    unpaid = {"collaborationIdentifier": fresh, "queryLogStatus": "DISABLED"}
    encrypted = dict.fromkeys(
        ("allowCleartext", "allowDuplicates", "allowJoinsOnColumnsWithDifferentNames", "preserveNulls"), False
    )
    return [
        ("ConflictException", lambda: airline.create_membership(**joining)),
        ("AccessDeniedException", lambda: stranger.create_membership(**joining)),
        ("AccessDeniedException", lambda: stranger.get_collaboration(collaborationIdentifier=members.collaboration)),
        ("AccessDeniedException", lambda: airline.get_membership(membershipIdentifier=members.bureau)),
        ("ValidationException", lambda: bureau.create_membership(**unpaid)),  # it was named to pay for training
        ("ValidationException", lambda: collaboration(running, members=twice)),
        ("NotEmulatedException", lambda: collaboration(running, dataEncryptionMetadata=encrypted)),
        ("NotEmulatedException", lambda: collaboration(running, analyticsEngine="CLEAN_ROOMS_SQL")),
        ("ValidationException", lambda: table("sky", "wether")),
        ("ValidationException", lambda: table("sky", "gone")),
        ("ValidationException", lambda: rule(list={"joinColumns": ["hours"], "listColumns": []})),
        ("ValidationException", lambda: rule(custom={"allowedAnalyses": ["ANY_QUERY"]})),
        ("NotEmulatedException", lambda: rule(custom={"allowedAnalyses": [], "differentialPrivacy": budget})),
        ("ValidationException", lambda: template("DROP TABLE t")),
        ("ValidationException", lambda: template("SELECT :y", name="y", type="INT", defaultValue="z")),
        ("NotEmulatedException", lambda: template("SELECT :y", name="y", type="TIME")),
    ]


def test_what_is_refused_and_how(members: Members) -> None:
    for name, call in calls(members.running, members):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == name, caught.value


def test_other_operations_say_that_they_are_not_emulated(server: Up) -> None:
    client = server.client(AIRLINE, "cleanrooms")
    others = [name for name in operation_names(CLEANROOMS) if name not in cleanrooms_operation.emulated]
    assert len(others) > 50
    for name in others[::10]:
        shape = operation_model(CLEANROOMS, name).input_shape
        with pytest.raises(ClientError, match=re.escape(name)) as caught:
            getattr(client, xform_name(name))(**({} if shape is None else example(shape)))
        assert caught.value.response["Error"]["Code"] == "NotEmulatedException"
