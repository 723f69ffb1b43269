"""From nothing to a trained model with boto3 alone: a collaboration of three accounts, their tables and their rules."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from cleanroom_algo.local.operations.registry import cleanrooms_operation
from cleanroom_algo.local.service_model.shapes import CLEANROOMS, operation_model, operation_names
from cleanroom_algo.local.service_model.validation import faults
from tests.local.api.server import Up, up
from tests.local.api.shapes import example
from tests.local.api.test_http import until
from tests.local.support import ROLE, STRANGER, algorithm_folder

AIRLINE, BUREAU, ANALYST = "111111111111", "222222222222", "333333333333"
SETTINGS = """
[quotas]
requests_per_second = false
[machine]
hosts = 2
[glue_tables]
"travel.flights" = "tables/flights.csv"
"sky.weather" = "tables/weather"
"sky.gone" = "tables/gone"
"""
WILDCARD = "arn:aws:cleanrooms-ml:us-east-1:*:membership/*/configured-model-algorithm-association/*"
QUERY = "SELECT f.distance, w.wind, f.late FROM flights f JOIN weather w ON f.hour = w.hour"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    home = tmp_path_factory.mktemp("home")
    (home / "settings.toml").write_text(SETTINGS)
    (home / "tables" / "weather").mkdir(parents=True)
    (home / "tables" / "flights.csv").write_text("hour,distance,late,tail\n1,100,0,N1\n2,200,1,N2\n3,300,0,N3\n")
    (home / "tables" / "weather" / "part-0.csv").write_text("hour,wind\n1,5\n2,7\n")
    (home / "tables" / "weather" / "part-1.csv").write_text("hour,wind\n3,9\n")
    algorithm_folder(home / "algorithm")
    with up(home) as running:
        yield running


def collaboration(running: Up, **changed: Any) -> str:
    """Make one: the airline queries, the bureau gets models and pays for training, the analyst gets predictions."""
    members = [
        {
            "accountId": BUREAU,
            "displayName": "bureau",
            "memberAbilities": [],
            "mlMemberAbilities": {"customMLMemberAbilities": ["CAN_RECEIVE_MODEL_OUTPUT"]},
            "paymentConfiguration": {
                "queryCompute": {"isResponsible": False},
                "machineLearning": {"modelTraining": {"isResponsible": True}},
            },
        },
        {
            "accountId": ANALYST,
            "displayName": "analyst",
            "memberAbilities": [],
            "mlMemberAbilities": {"customMLMemberAbilities": ["CAN_RECEIVE_INFERENCE_OUTPUT"]},
        },
    ]
    asked = {
        "name": "flights and weather",
        "members": members,
        "creatorMemberAbilities": ["CAN_QUERY", "CAN_RECEIVE_RESULTS"],
        "creatorDisplayName": "airline",
        "queryLogStatus": "DISABLED",
        "analyticsEngine": "SPARK",
        **changed,
    }
    made: dict[str, Any] = running.client(AIRLINE, "cleanrooms").create_collaboration(**asked)["collaboration"]
    assert made["memberStatus"] == "INVITED"
    identifier: str = made["id"]
    return identifier


def join(running: Up, account: str, identifier: str) -> str:
    training = {"machineLearning": {"modelTraining": {"isResponsible": True}}, "queryCompute": {"isResponsible": False}}
    paying = {"paymentConfiguration": training} if account == BUREAU else {}
    made: dict[str, Any] = running.client(account, "cleanrooms").create_membership(
        collaborationIdentifier=identifier, queryLogStatus="DISABLED", **paying
    )["membership"]
    membership: str = made["id"]
    return membership


def bring_table(running: Up, account: str, membership: str, table: str, columns: list[str], policy: Any) -> str:
    """Configure a table with its analysis rule and bring it into a collaboration; return the association."""
    client = running.client(account, "cleanrooms")
    database, _, name = table.partition(".")
    made = client.create_configured_table(
        name=name,
        tableReference={"glue": {"databaseName": database, "tableName": name}},
        allowedColumns=columns,
        analysisMethod="DIRECT_QUERY",
    )["configuredTable"]
    if policy:
        (kind,) = policy
        client.create_configured_table_analysis_rule(
            configuredTableIdentifier=made["id"],
            analysisRuleType=kind.upper(),
            analysisRulePolicy={"v1": policy},
        )
    associated: str = client.create_configured_table_association(
        name=name, membershipIdentifier=membership, configuredTableIdentifier=made["id"], roleArn=ROLE
    )["configuredTableAssociation"]["id"]
    return associated


def allow(running: Up, account: str, membership: str, association: str, kind: str, *analyses: str) -> None:
    running.client(account, "cleanrooms").create_configured_table_association_analysis_rule(
        membershipIdentifier=membership,
        configuredTableAssociationIdentifier=association,
        analysisRuleType=kind,
        analysisRulePolicy={"v1": {kind.lower(): {"allowedAdditionalAnalyses": list(analyses)}}},
    )


LISTED = {"list": {"joinColumns": ["hour"], "listColumns": ["wind"], "additionalAnalyses": "ALLOWED"}}
CUSTOM = {
    "custom": {
        "allowedAnalyses": ["ANY_QUERY"],
        "allowedAnalysisProviders": [AIRLINE],
        "additionalAnalyses": "REQUIRED",
        "disallowedOutputColumns": ["tail"],
    }
}
FLIGHTS = ("travel.flights", ["hour", "distance", "late", "tail"], CUSTOM)
WEATHER = ("sky.weather", ["hour", "wind"], LISTED)


class Members:
    """A collaboration of the three, with an algorithm that the airline has associated."""

    def __init__(self, running: Up) -> None:
        self.running = running
        self.collaboration = collaboration(running)
        self.airline, self.bureau, self.analyst = (
            join(running, account, self.collaboration) for account in (AIRLINE, BUREAU, ANALYST)
        )
        client = running.client(AIRLINE)
        container = {"imageUri": str(running.home / "algorithm")}
        algorithm = client.create_configured_model_algorithm(
            name=f"algorithm-{self.collaboration}",
            roleArn=ROLE,
            trainingContainerConfig=container,
            inferenceContainerConfig=container,
        )["configuredModelAlgorithmArn"]
        exports = {"trainedModelExports": {"maxSize": {"unit": "GB", "value": 1.0}, "filesToExport": ["MODEL"]}}
        self.association: str = client.create_configured_model_algorithm_association(
            membershipIdentifier=self.airline,
            name="association",
            configuredModelAlgorithmArn=algorithm,
            privacyConfiguration={"policies": exports},
        )["configuredModelAlgorithmAssociationArn"]

    def query(self, text: str = QUERY) -> dict[str, Any]:
        """Make a channel of a query and return it when it has ended."""
        return self.channel(queryString=text)

    def channel(self, **sql: Any) -> dict[str, Any]:
        """Make a channel and return it when it has ended."""
        client = self.running.client(AIRLINE)
        source = {"protectedQueryInputParameters": {"sqlParameters": sql}}
        arn = client.create_ml_input_channel(
            membershipIdentifier=self.airline,
            name=f"channel-{uuid.uuid4()}",
            configuredModelAlgorithmAssociations=[self.association],
            inputChannel={"dataSource": source, "roleArn": f"arn:aws:iam::{AIRLINE}:role/clean-room"},
            retentionInDays=1,
        )["mlInputChannelArn"]
        own = {"membershipIdentifier": self.airline, "mlInputChannelArn": arn}
        return until(lambda: client.get_ml_input_channel(**own), "ACTIVE", "CREATE_FAILED")


@pytest.fixture
def members(server: Up) -> Members:
    return Members(server)


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
    assert inferred["mlModelInferencePayerAccountId"] == AIRLINE  # nobody was named: who queries pays
    place = running.home / "s3" / f"of-{ANALYST}" / "out" / members.collaboration / "model" / AIRLINE / "inference"
    assert len(list(place.glob("*.out"))) == channel["numberOfFiles"]


@pytest.mark.parametrize(
    ("policy", "analyses", "reason"),
    [
        (None, [], "it has no analysis rule"),
        ({"list": {"joinColumns": ["hour"], "listColumns": ["wind"]}}, [WILDCARD], "does not allow additionalAnalyses"),
        (LISTED, [], "(allowedAdditionalAnalyses)"),
        (LISTED, [WILDCARD.replace("us-east-1", "eu-west-1")], "(allowedAdditionalAnalyses)"),
        (
            {"custom": {**CUSTOM["custom"], "allowedAnalysisProviders": [BUREAU]}},
            [WILDCARD],
            "(allowedAnalysisProviders)",
        ),
        ({"custom": {**CUSTOM["custom"], "allowedAdditionalAnalyses": []}}, [WILDCARD], "(allowedAdditionalAnalyses)"),
    ],
)
def test_a_table_that_its_owner_does_not_let_be_used(
    members: Members, policy: Any, analyses: list[str], reason: str
) -> None:
    columns = ["hour", "wind", "tail"]
    association = bring_table(members.running, BUREAU, members.bureau, "sky.weather", columns, policy)
    if analyses:
        allow(members.running, BUREAU, members.bureau, association, next(iter(policy)).upper(), *analyses)

    channel = members.query("SELECT wind FROM weather")

    assert channel["status"] == "CREATE_FAILED"
    assert reason in channel["statusDetails"]["message"]


@pytest.mark.parametrize("text", ["SELECT tail FROM flights", "SELECT f.* FROM flights f", "SELECT f FROM flights f"])
def test_a_column_that_a_custom_rule_keeps_out_of_the_output(members: Members, text: str) -> None:
    flights = bring_table(members.running, AIRLINE, members.airline, *FLIGHTS)
    allow(members.running, AIRLINE, members.airline, flights, "CUSTOM", WILDCARD)

    assert members.query(text)["status"] == "CREATE_FAILED"
    assert members.query("SELECT late FROM flights WHERE tail = 'N2'")["numberOfRecords"] == 1


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


def test_an_access_budget_limits_how_often_a_table_is_used(members: Members) -> None:
    running = members.running
    airline, bureau = (Asking(running.client(each, "cleanrooms")) for each in (AIRLINE, BUREAU))
    own, of_room = {"membershipIdentifier": members.bureau}, {"collaborationIdentifier": members.collaboration}
    weather = bring_table(running, BUREAU, members.bureau, *WEATHER)
    allow(running, BUREAU, members.bureau, weather, "LIST", WILDCARD)
    arn = f"arn:aws:cleanrooms:us-east-1:{BUREAU}:membership/{members.bureau}/configuredtableassociation/{weather}"
    access, daily = {"privacyBudgetType": "ACCESS_BUDGET"}, {"type": "CALENDAR_DAY", "autoRefresh": "ENABLED"}

    def limited(*parameters: Any) -> Any:
        return {"accessBudget": {"resourceArn": arn, "budgetParameters": list(parameters)}}

    asked = {**own, **access, "parameters": limited({**daily, "budget": 5}, {"type": "LIFETIME", "budget": 1})}
    made = bureau("CreatePrivacyBudgetTemplate", **asked)["privacyBudgetTemplate"]
    first = members.query("SELECT wind FROM weather")
    spent, wrong = members.query("SELECT wind FROM weather"), members.query("SELECT win FROM weather")

    (shown,) = first["privacyBudgets"]["accessBudgets"]
    left = {each["budgetType"]: (each["remainingBudget"], each["budget"]) for each in shown["details"]}
    assert (shown["resourceArn"], shown["aggregateRemainingBudget"]) == (arn, 0)
    assert left == {"CALENDAR_DAY": (4, 5), "LIFETIME": (0, 1)}
    assert "CR-JOB-408" in spent["statusDetails"]["message"]
    assert "the access budget of weather is used up" in wrong["statusDetails"]["message"]

    identified = {**own, "privacyBudgetTemplateIdentifier": made["id"]}
    more = {"accessBudget": {"budgetParameters": [{"type": "LIFETIME", "budget": 2}]}}
    bureau("UpdatePrivacyBudgetTemplate", **identified, **access, parameters=more)
    assert members.query("SELECT win FROM weather")["status"] == "CREATE_FAILED"
    (budget,) = airline("ListCollaborationPrivacyBudgets", **of_room, **access)["collaborationPrivacyBudgetSummaries"]
    assert budget["budget"]["accessBudget"]["aggregateRemainingBudget"] == 1  # a query that fails costs nothing
    assert bureau("ListPrivacyBudgets", **own, **access)["privacyBudgetSummaries"][0]["id"] == made["id"]
    private = {"privacyBudgetType": "DIFFERENTIAL_PRIVACY"}
    assert bureau("ListPrivacyBudgets", **own, **private) == {"privacyBudgetSummaries": []}
    (listed,) = airline("ListCollaborationPrivacyBudgetTemplates", **of_room)[
        "collaborationPrivacyBudgetTemplateSummaries"
    ]
    assert listed["id"] == bureau("ListPrivacyBudgetTemplates", **own)["privacyBudgetTemplateSummaries"][0]["id"]
    of_all = {**of_room, "privacyBudgetTemplateIdentifier": made["id"]}
    held = airline("GetCollaborationPrivacyBudgetTemplate", **of_all)["collaborationPrivacyBudgetTemplate"]
    assert held["parameters"]["accessBudget"] == {**more["accessBudget"], "resourceArn": arn}
    for name, changed in [
        ("ConflictException", {}),
        (
            "NotEmulatedException",
            {**private, "parameters": {"differentialPrivacy": {"epsilon": 3, "usersNoisePerQuery": 30}}},
        ),
        ("ValidationException", {"parameters": limited({**daily, "budget": 1}, {**daily, "budget": 2})}),
    ]:
        assert refused(bureau.client.create_privacy_budget_template, **{**asked, **changed}) == name
    bureau("DeletePrivacyBudgetTemplate", **identified)
    unlimited = members.query("SELECT wind FROM weather")
    assert (unlimited["status"], "privacyBudgets" in unlimited) == ("ACTIVE", False)


class Asking:
    """A client whose answers must fit the model, required members included."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __call__(self, name: str, /, **params: Any) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self.client, xform_name(name))(**params)
        del answer["ResponseMetadata"]
        # The model's ARNs of table associations hold two identifiers, and have at most 100 characters: they cannot.
        found = [str(each) for each in faults(operation_model(CLEANROOMS, name).output_shape, answer)]
        assert [each for each in found if not re.search(r"[aA]rn: must have at most 100", each)] == []
        return answer


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


def refused(call: Callable[..., Any], **params: Any) -> str:
    """Call what must be refused, and return the error's name."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    code: str = caught.value.response["Error"]["Code"]
    return code


def test_tables_and_rules_are_changed_and_cleared_away(members: Members) -> None:
    running = members.running
    bureau = Asking(running.client(BUREAU, "cleanrooms"))
    association = bring_table(running, BUREAU, members.bureau, *WEATHER)
    allow(running, BUREAU, members.bureau, association, "LIST", WILDCARD)
    own = {"membershipIdentifier": members.bureau, "configuredTableAssociationIdentifier": association}
    shown = bureau("GetConfiguredTableAssociation", **own)["configuredTableAssociation"]
    table = {"configuredTableIdentifier": shown["configuredTableId"]}
    listed = {"analysisRuleType": "LIST"}

    def allowing(*analyses: str) -> dict[str, Any]:
        return {"analysisRulePolicy": {"v1": {"list": {"allowedAdditionalAnalyses": list(analyses)}}}}

    query = "SELECT wind FROM weather"
    assert members.query(query)["numberOfRecords"] == 3
    bureau("UpdateConfiguredTableAssociationAnalysisRule", **own, **listed, **allowing())
    assert "allowedAdditionalAnalyses" in members.query(query)["statusDetails"]["message"]
    bureau("UpdateConfiguredTableAssociationAnalysisRule", **own, **listed, **allowing(WILDCARD))
    policy = {"v1": {"list": {**LISTED["list"], "joinColumns": ["wind"], "listColumns": ["hour"]}}}
    assert (
        bureau("UpdateConfiguredTableAnalysisRule", **table, **listed, analysisRulePolicy=policy)["analysisRule"][
            "policy"
        ]
        == policy
    )
    assert "wind: is a join column" in members.query(query)["statusDetails"]["message"]
    changed = bureau("UpdateConfiguredTable", **table, name="winds", description="new")["configuredTable"]
    assert (changed["name"], changed["description"]) == ("winds", "new")
    reference = {"glue": {"databaseName": "travel", "tableName": "flights"}}
    bureau("UpdateConfiguredTable", **table, tableReference=reference, allowedColumns=["hour", "wind", "late"])
    assert refused(bureau.client.update_configured_table, **table, allowedColumns=["hour"]) == "ConflictException"
    assert (
        bureau("UpdateConfiguredTableAssociation", **own, description="new")["configuredTableAssociation"][
            "description"
        ]
        == "new"
    )

    assert refused(bureau.client.delete_configured_table, **table) == "ConflictException"
    bureau("DeleteConfiguredTableAssociationAnalysisRule", **own, **listed)
    bureau("DeleteConfiguredTableAnalysisRule", **table, **listed)
    again = bureau.client.delete_configured_table_analysis_rule
    assert refused(again, **table, **listed) == "ResourceNotFoundException"
    assert "has no analysis rule" in members.query(query)["statusDetails"]["message"]
    bureau("DeleteConfiguredTableAssociation", **own)
    assert "is not a table" in members.query(query)["statusDetails"]["message"]
    bureau("DeleteConfiguredTable", **table)
    assert refused(bureau.client.get_configured_table, **table) == "ResourceNotFoundException"


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
