"""Entries of a cleanroom.toml in the form of requests of the API."""

from __future__ import annotations

from typing import Any

from cleanroom_algo.local.setup.declaration import Member, SyntheticEntry, TemplateEntry


def member_specification(name: str, member: Member) -> dict[str, Any]:
    """Return a member in the form of CreateCollaboration's members."""
    paying = {"isResponsible": member.pays}
    return {
        "accountId": member.account,
        "displayName": name,
        "memberAbilities": list(member.abilities),
        "mlMemberAbilities": {"customMLMemberAbilities": list(member.ml_abilities)},
        "paymentConfiguration": {
            "queryCompute": paying,
            "machineLearning": {"modelTraining": paying, "modelInference": paying},
        },
    }


def template_content(entry: TemplateEntry) -> dict[str, Any]:
    """Return the content of an analysis template, as members of CreateAnalysisTemplate."""
    defaults = {
        key: {} if each.default is None else {"defaultValue": each.default} for key, each in entry.parameters.items()
    }
    declared = [{"name": key, "type": each.type, **defaults[key]} for key, each in entry.parameters.items()]
    return {"source": {"text": entry.query}, "analysisParameters": declared, **_synthetic(entry.synthetic)}


def _synthetic(entry: SyntheticEntry | None) -> dict[str, Any]:
    if entry is None:
        return {}
    mapping = [
        {"columnName": name, "columnType": kind, "isPredictiveValue": name in entry.predictive}
        for kind, names in (("CATEGORICAL", entry.categorical), ("NUMERICAL", entry.numerical))
        for name in names
    ]
    parameters = {
        "epsilon": entry.epsilon,
        "maxMembershipInferenceAttackScore": entry.max_attack_score,
        "columnClassification": {"columnMapping": mapping},
    }
    return {"syntheticDataParameters": {"mlSyntheticDataParameters": parameters}}
