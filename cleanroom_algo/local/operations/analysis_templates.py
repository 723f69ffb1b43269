"""Analysis templates: queries with parameters, which table owners approve one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cleanroom_algo.errors import NotEmulatedError, Problem, QueryError, ResourceNotFoundError
from cleanroom_algo.local.operations.authorization import (
    in_collaboration,
    not_found,
    own_collaboration,
    own_membership,
    unique_name,
)
from cleanroom_algo.local.operations.collaborations import membership_and_collaboration
from cleanroom_algo.local.operations.projections import show_members, show_one, show_page, times
from cleanroom_algo.local.operations.registry import Call, cleanrooms_operation
from cleanroom_algo.local.resources.arns import ANALYSIS_TEMPLATE, MEMBERSHIP, template_arn
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.validation import invalid


@cleanrooms_operation("CreateAnalysisTemplate")
def create_template(call: Call) -> Mapping[str, Any]:
    """Store a query for members to approve and run; its text is parsed now, and its names are resolved when it runs."""
    membership = own_membership(call)
    _check_kind(call)
    tables = _check_text(call)
    unique_name(call, ANALYSIS_TEMPLATE, call.params["name"], membership=membership.key)
    record = call.store.insert(
        Record(
            kind=ANALYSIS_TEMPLATE,
            key=template_arn(call.region, call.account, membership.key, call.new_identifier()),
            account=call.account,
            membership=membership.key,
            collaboration=membership.collaboration,
            name=call.params["name"],
            document={**call.given("tags"), "schema": {"referencedTables": tables}},
        )
    )
    return show_one(call, _template(call, record))


@cleanrooms_operation("GetAnalysisTemplate")
def get_template(call: Call) -> Mapping[str, Any]:
    """Return a template of the caller's membership."""
    return show_one(call, _template(call, _own_template(call)))


@cleanrooms_operation("ListAnalysisTemplates")
def list_templates(call: Call) -> Mapping[str, Any]:
    """Return the templates of the caller's membership, the latest first."""
    key = own_membership(call).key

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return call.store.find(ANALYSIS_TEMPLATE, before=before, limit=limit, membership=key)

    return show_page(call, find, describe=_template)


@cleanrooms_operation("UpdateAnalysisTemplate")
def update_template(call: Call) -> Mapping[str, Any]:
    """Change the description of a template, which is all that can be changed."""
    template = _own_template(call)
    changed = call.store.update(template, document={"description": call.params.get("description")})
    return show_one(call, _template(call, changed))


@cleanrooms_operation("DeleteAnalysisTemplate")
def delete_template(call: Call) -> Mapping[str, Any]:
    """Remove a template; channels created from it stay, those that still wait fail."""
    call.store.delete(_own_template(call))
    return {}


@cleanrooms_operation("GetCollaborationAnalysisTemplate")
def get_collaboration_template(call: Call) -> Mapping[str, Any]:
    """Return any member's template, with its text, because owners of tables read it before they approve it."""
    collaboration = own_collaboration(call)
    found = in_collaboration(call, ANALYSIS_TEMPLATE, call.params["analysisTemplateArn"], collaboration)
    return show_one(call, _template(call, found))


@cleanrooms_operation("BatchGetCollaborationAnalysisTemplate")
def get_collaboration_templates(call: Call) -> Mapping[str, Any]:
    """Return several templates of any members; missing ones are listed in `errors`."""
    collaboration = own_collaboration(call)
    found, errors = [], []
    for arn in call.params["analysisTemplateArns"]:
        try:
            found.append(_template(call, in_collaboration(call, ANALYSIS_TEMPLATE, arn, collaboration)))
        except ResourceNotFoundError as error:
            errors.append({"arn": arn, "code": "ResourceNotFoundException", "message": error.what})
    return {**show_members(call, "collaborationAnalysisTemplates", found), "errors": errors}


@cleanrooms_operation("ListCollaborationAnalysisTemplates")
def list_collaboration_templates(call: Call) -> Mapping[str, Any]:
    """Return the templates of all members, the latest first."""
    key = own_collaboration(call)

    def find(before: int | None, limit: int) -> Sequence[Record]:
        return call.store.find(ANALYSIS_TEMPLATE, before=before, limit=limit, collaboration=key)

    return show_page(call, find, describe=_template)


def _own_template(call: Call) -> Record:
    membership = own_membership(call)
    identifier = call.params["analysisTemplateIdentifier"]
    for each in call.store.find(ANALYSIS_TEMPLATE, membership=membership.key):
        if _identifier(each) == identifier:
            return each
    raise not_found(ANALYSIS_TEMPLATE, MEMBERSHIP)


def _identifier(template: Record) -> str:
    return template.key.rpartition("/")[2]


def _check_kind(call: Call) -> None:
    """Refuse templates of other kinds than SQL.

    Raises:
        InvalidRequestError: CR-REQ-001. NotEmulatedError: CR-REQ-007.
    """
    from cleanroom_algo.local.query.templates import is_emulated  # here and below, because importing sqlglot takes time

    types = {each["type"] for each in call.params.get("analysisParameters", ())}
    missing = [f"parameters of type {each}" for each in sorted(types) if not is_emulated(each)]
    if call.params["format"] != "SQL":
        missing.append(f"the format {call.params['format']}")
    if missing:
        raise NotEmulatedError(
            f"analysis templates with {', '.join(missing)} are not emulated",
            expected="a template in SQL",
            fix="leave it out, or run such a template on AWS",
        )
    if "text" not in call.params["source"]:
        raise invalid(call.operation, [Problem("source", "needs text, because format is SQL")])


def _check_text(call: Call) -> list[str]:
    """Return the tables that the text of a template names.

    Raises:
        InvalidRequestError: CR-REQ-001, it is not a query, or does not fit the parameters or `schema` of the template.
    """
    from cleanroom_algo.local.query.parsing import parse
    from cleanroom_algo.local.query.resolution import referenced_tables
    from cleanroom_algo.local.query.templates import placeholders

    if problems := list(_parameter_faults(call)):
        raise invalid(call.operation, problems)
    declared = [each["name"] for each in call.params.get("analysisParameters", ())]
    try:
        tables = referenced_tables(parse(call.params["source"]["text"], placeholders(declared)))
    except QueryError as error:
        problems = [Problem("source.text", str(each)) for each in error.problems] or [
            Problem("source.text", error.what)
        ]
        raise invalid(call.operation, problems) from None
    given = call.params.get("schema", {}).get("referencedTables", tables)
    if sorted(map(str.lower, given)) != tables:
        problem = f"must name the tables of the text: {', '.join(tables) or 'it has none'}"
        raise invalid(call.operation, [Problem("schema.referencedTables", problem)])
    return tables


def _parameter_faults(call: Call) -> Iterator[Problem]:
    from cleanroom_algo.local.query.templates import faults_of_values

    yield from _mapping_faults(call.params.get("syntheticDataParameters", {}))
    declared = call.params.get("analysisParameters", [])
    names = [each["name"] for each in declared]
    for index, parameter in enumerate(declared):
        path = f"analysisParameters[{index}]"
        if parameter["name"] in names[:index]:
            yield Problem(f"{path}.name", "is already the name of another parameter")
        elif "defaultValue" in parameter:
            alone = {"analysisParameters": [parameter]}
            for fault in faults_of_values(alone, {}, path):
                yield Problem(f"{path}.defaultValue", fault.message)


def _mapping_faults(synthetic: Mapping[str, Any]) -> Iterator[Problem]:
    mapping = synthetic.get("mlSyntheticDataParameters", {}).get("columnClassification", {}).get("columnMapping", [])
    names = [each["columnName"] for each in mapping]
    for index, name in enumerate(names):
        if name in names[:index]:
            path = "syntheticDataParameters.mlSyntheticDataParameters.columnClassification.columnMapping"
            yield Problem(f"{path}[{index}].columnName", "is already the name of another column")


def _template(call: Call, record: Record) -> dict[str, Any]:
    return {
        **record.document,
        **times(record),
        **membership_and_collaboration(call, record),
        "id": _identifier(record),
        "arn": record.key,
        "name": record.name,
        "creatorAccountId": record.account,
        "isSyntheticData": "syntheticDataParameters" in record.document,
    }
