"""A collaboration of three accounts, made with boto3 alone."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from cleanroom_algo.local.service_model.shapes import CLEANROOMS, operation_model
from cleanroom_algo.local.service_model.validation import faults
from tests.local.api.server import Up
from tests.local.api.test_http import until
from tests.local.support import ROLE

AIRLINE, BUREAU, ANALYST = "111111111111", "222222222222", "333333333333"
WILDCARD = "arn:aws:cleanrooms-ml:us-east-1:*:membership/*/configured-model-algorithm-association/*"
QUERY = "SELECT f.distance, w.wind, f.late FROM flights f JOIN weather w ON f.hour = w.hour"
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


def refused(call: Callable[..., Any], **params: Any) -> str:
    """Call what must be refused, and return the error's name."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    code: str = caught.value.response["Error"]["Code"]
    return code
