"""Tables of members: their rules and budgets, how they are changed, and how they are cleared away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local.api.cleanrooms.collaboration import (
    AIRLINE,
    BUREAU,
    CUSTOM,
    FLIGHTS,
    LISTED,
    WEATHER,
    WILDCARD,
    Asking,
    Members,
    allow,
    bring_table,
    refused,
)


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
