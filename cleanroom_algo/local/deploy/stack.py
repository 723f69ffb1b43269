"""CloudFormation templates for the part of a room in a member's account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cleanroom_algo.errors import Problem, TemplateError
from cleanroom_algo.local.deploy.api_calls import algorithm_call, association_call, beyond_cloudformation
from cleanroom_algo.local.deploy.placeholders import (
    ACCOUNT,
    MEMBERSHIP,
    PARTITION,
    REGION,
    Placeholder,
    distinct,
    example,
    identifier,
    joined,
    logical,
    resolved,
)
from cleanroom_algo.local.deploy.rehearsal import (
    OUTPUT_LOCATION,
    Image,
    Rehearsal,
    algorithm_arn,
    association_arn,
    output_uri,
    template_arn,
)
from cleanroom_algo.local.deploy.roles import (
    GLUE_DATABASE,
    Role,
    account_of,
    policy_document,
    roles_of,
)
from cleanroom_algo.local.operations.collaborations import OF_CREATOR
from cleanroom_algo.local.resources.arns import ASSOCIATION
from cleanroom_algo.local.service_model.shapes import CLEANROOMS, operation_model
from cleanroom_algo.local.service_model.validation import faults, invalid
from cleanroom_algo.local.setup.declaration import TableEntry, TemplateEntry
from cleanroom_algo.local.setup.declared_requests import member_specification, template_content
from cleanroom_algo.local.setup.tables import analysis_rule

COLLABORATION: Final = Placeholder("COLLABORATION_IDENTIFIER", "identifier of the collaboration", MEMBERSHIP.example)
_PSEUDO: Final = {ACCOUNT: "AWS::AccountId", REGION: "AWS::Region", PARTITION: "AWS::Partition"}
_UUID: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_ACCOUNT: Final = "^[0-9]{12}$"
_LOCATION: Final = "^[A-Za-z0-9][A-Za-z0-9._-]+(/[^*?$]*[^/*?$])?$"  # it becomes part of a policy
_TAG: Final = "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"
_DYNAMIC: Final = "{{resolve:"


class Stack:
    """The template of one member's account.

    Args:
        rehearsal: of the room.
        member: whose account it is for.
        clean_room: whether the member also creates or joins the collaboration, and adds tables and templates.

    Attributes:
        outputs: of the stack, by the name of the placeholder whose value each is.
        warnings: what the template lacks, and what AWS may refuse.
    """

    def __init__(self, rehearsal: Rehearsal, member: str, *, clean_room: bool = False) -> None:
        self.rehearsal = rehearsal
        self.member = member
        self.outputs: dict[str, str] = {}
        self.warnings: list[str] = []
        self._sections: dict[str, dict[str, Any]] = {
            name: {} for name in ("Parameters", "Conditions", "Resources", "Outputs")
        }
        self._values: dict[str, Any] = {each.name: {"Ref": name} for each, name in _PSEUDO.items()}
        self._make(clean_room=clean_room)

    def document(self) -> dict[str, Any]:
        """Return the template.

        Raises:
            TemplateError: CR-DEP-001, a text has another meaning in CloudFormation.
        """
        if problems := list(_dynamic(self._sections, "")):
            raise TemplateError(
                f"the template for {self.member!r} would contain texts that CloudFormation replaces by other values",
                expected=f"texts without {_DYNAMIC}",
                fix="choose other texts",
                problems=problems,
            )
        about = f"Clean Rooms ML: {self.rehearsal.slug}, member {distinct(self.member)}"
        head = {"AWSTemplateFormatVersion": "2010-09-09", "Description": about}
        return head | {name: each for name, each in self._sections.items() if each}

    def _make(self, *, clean_room: bool) -> None:
        owned = self.rehearsal.owned
        if clean_room:
            self._clean_room()
        for role in roles_of(self.rehearsal, self.member):
            if clean_room or role.kind != "tables":
                self._role(role)
        for name in owned("algorithms", self.member):
            self._algorithm(name)
        if self.rehearsal.declaration.members[self.member].output is not None:
            self._output(output_uri(self.member), self._value(joined("s3://", OUTPUT_LOCATION)))
        if clean_room:
            for name, template in owned("templates", self.member).items():
                self._template(name, template)
            for name, table in owned("tables", self.member).items():
                self._table(name, table)
        self._output(MEMBERSHIP, self._value(MEMBERSHIP))

    def _clean_room(self) -> None:
        own, *others = (
            member_specification(name, entry) | {"accountId": account_of(self.rehearsal, name, self.member)}
            for name, entry in self.rehearsal.declaration.members.items()
        )
        if self.member == self.rehearsal.creator:
            name = self.rehearsal.declaration.collaboration.name
            creator = {OF_CREATOR[key]: each for key, each in own.items() if key in OF_CREATOR}
            about = {"name": name, "description": name, "queryLogStatus": "DISABLED", "analyticsEngine": "SPARK"}
            if not any("CAN_RECEIVE_RESULTS" in each["memberAbilities"] for each in (own, *others)):
                self.warnings.append("no member has CAN_RECEIVE_RESULTS; the user guide asks for at least one")
            created = {**about, **creator, "members": others}
            self._check("CreateCollaboration", created)
            self._add("Collaboration", "CleanRooms::Collaboration", created)
            self._values[COLLABORATION.name] = {"Fn::GetAtt": ["Collaboration", "CollaborationIdentifier"]}
            self._output(COLLABORATION, self._values[COLLABORATION.name])
        entry = self.rehearsal.declaration.members[self.member]
        payment = member_specification(self.member, entry)["paymentConfiguration"]
        joining = {"collaborationIdentifier": COLLABORATION, "queryLogStatus": "DISABLED"}
        self._add("Membership", "CleanRooms::Membership", {**joining, "paymentConfiguration": payment})
        self._values[MEMBERSHIP.name] = {"Fn::GetAtt": ["Membership", "MembershipIdentifier"]}

    def _role(self, role: Role) -> None:
        name = f"Role{logical(identifier(role.kind))}"
        properties = {
            "RoleName": role.name,
            "Description": _sentence(role.about.replace("$", "")),
            "AssumeRolePolicyDocument": policy_document(role.trust),
            "Policies": [{"PolicyName": "own", "PolicyDocument": policy_document(role.statements)}],
        }
        self._sections["Resources"][name] = {"Type": "AWS::IAM::Role", "Properties": self._value(properties)}
        self._values[role.name] = {"Fn::GetAtt": [name, "Arn"]}

    def _algorithm(self, name: str) -> None:
        own = logical(identifier(name))
        tags = [self._image(each) for each in self.rehearsal.images(name) if each.uri is None]
        condition = self._pushed(own, tags)
        algorithm = algorithm_call(self.rehearsal, name).params
        role = {"roleArn": self._values[_role_name(algorithm)]}
        self._add(f"Algorithm{own}", "CleanRoomsML::ConfiguredModelAlgorithm", {**algorithm, **role}, condition)
        arn = {"Fn::GetAtt": [f"Algorithm{own}", "ConfiguredModelAlgorithmArn"]}
        self._values[algorithm_arn(name).name] = arn
        association = association_call(self.rehearsal, name)
        if beyond := beyond_cloudformation(association):
            self._output(algorithm_arn(name), arn, condition)
            self.warnings.append(f"algorithms.{name}: {'; '.join(beyond)}; so the script creates its association")
            return
        kind = "CleanRoomsML::ConfiguredModelAlgorithmAssociation"
        self._add(f"Association{own}", kind, association.params, condition)
        arn = {"Fn::GetAtt": [f"Association{own}", "ConfiguredModelAlgorithmAssociationArn"]}
        self._output(association_arn(name), arn, condition)
        none = {"Ref": "AWS::NoValue"}
        self._values[association_arn(name).name] = {"Fn::If": [condition, arn, none]} if condition else arn

    def _image(self, image: Image) -> str:
        """Add the repository of an image, and return the parameter for its tag."""
        own = logical(identifier(image.algorithm + image.kind))
        repository, tag = f"Repository{own}", f"ImageTag{own}"
        self._add(
            repository,
            "ECR::Repository",
            {
                "repositoryName": image.repository,
                "imageTagMutability": "IMMUTABLE",
                "imageScanningConfiguration": {"scanOnPush": True},
            },
        )
        about = f"Tag of the image of {image.algorithm!r}; empty until the image is pushed, after the repository exists"
        self._sections["Parameters"][tag] = {
            "Type": "String",
            "Description": about,
            "Default": "",
            "AllowedPattern": _TAG,
        }
        uri = {"Fn::GetAtt": [repository, "RepositoryUri"]}
        self._values[image.placeholder.name] = {"Fn::Join": ["", [uri, ":", {"Ref": tag}]]}
        key = identifier(image.algorithm + image.kind)
        self._output(Placeholder(f"REPOSITORY_{key}_URI", f"repository for the image of {image.algorithm!r}", ""), uri)
        return tag

    def _pushed(self, own: str, tags: list[str]) -> str:
        """Return the condition that all images of an algorithm have been pushed; "" if they already exist."""
        pushed = [{"Fn::Not": [{"Fn::Equals": [{"Ref": tag}, ""]}]} for tag in tags]
        if not pushed:
            return ""
        self._sections["Conditions"][f"Pushed{own}"] = pushed[0] if len(pushed) == 1 else {"Fn::And": pushed}
        return f"Pushed{own}"

    def _template(self, name: str, entry: TemplateEntry) -> None:
        own = f"Template{logical(identifier(name))}"
        created = {"membershipIdentifier": MEMBERSHIP, "name": name, "format": "SQL", **template_content(entry)}
        self._check("CreateAnalysisTemplate", created)
        self._add(own, "CleanRooms::AnalysisTemplate", created)
        self._output(template_arn(name), {"Fn::GetAtt": [own, "Arn"]})
        self._values[template_arn(name).name] = {"Fn::GetAtt": [own, "Arn"]}

    def _table(self, name: str, entry: TableEntry) -> None:
        own = logical(identifier(name))
        allowed_templates = entry.allowed_templates
        templates = None if allowed_templates is None else [template_arn(each) for each in allowed_templates]
        askers = [account_of(self.rehearsal, each, self.member) for each in self.rehearsal.declaration.members]
        kind, rule = analysis_rule(entry.columns, entry.join_columns, templates, askers)
        table = {
            "name": name,
            "tableReference": {"glue": {"databaseName": GLUE_DATABASE, "tableName": name}},
            "allowedColumns": list(entry.columns),
            "analysisMethod": "DIRECT_QUERY",
        }
        self._check("CreateConfiguredTable", table)
        self._add(f"Table{own}", "CleanRooms::ConfiguredTable", {**table, "analysisRules": [_rule(kind, rule)]})
        allowed = {"allowedAdditionalAnalyses": [self._analysis(each) for each in entry.allowed_associations]}
        (role,) = (each for each in roles_of(self.rehearsal, self.member) if each.kind == "tables")
        association = {
            "name": name,
            "membershipIdentifier": MEMBERSHIP,
            "configuredTableIdentifier": MEMBERSHIP.example,
            "roleArn": role.arn,
        }
        self._check("CreateConfiguredTableAssociation", association)
        association |= {
            "configuredTableIdentifier": {"Fn::GetAtt": [f"Table{own}", "ConfiguredTableIdentifier"]},
            "roleArn": self._values[role.name],
            "configuredTableAssociationAnalysisRules": [_rule(kind, allowed)],
        }
        self._add(f"TableAssociation{own}", "CleanRooms::ConfiguredTableAssociation", association)

    def _analysis(self, name: str) -> Any:
        """Return an allowed additional analysis: of a declared algorithm, of all, or an ARN."""
        if name == "*":
            return joined("arn:", PARTITION, ":cleanrooms-ml:", REGION, f":*:membership/*/{ASSOCIATION}/*")
        return association_arn(name) if name in self.rehearsal.declaration.algorithms else name

    def _check(self, operation: str, params: Mapping[str, Any]) -> None:
        """Check parameters of the API.

        Raises:
            InvalidRequestError: CR-REQ-001.
        """
        if problems := faults(operation_model(CLEANROOMS, operation).input_shape, example(params)):
            raise invalid(operation, problems)

    def _add(self, name: str, kind: str, params: Mapping[str, Any], condition: str = "") -> None:
        own = {"Condition": condition} if condition else {}
        properties = self._value(_as_properties(params))
        self._sections["Resources"][name] = {"Type": f"AWS::{kind}", **own, "Properties": properties}

    def _output(self, placeholder: Placeholder, value: Any, condition: str = "") -> None:
        name, own = logical(placeholder.name), {"Condition": condition} if condition else {}
        self._sections["Outputs"][name] = {"Description": _sentence(placeholder.about), "Value": value, **own}
        self.outputs[placeholder.name] = name

    def _value(self, given: Any) -> Any:
        """Return a value of a request in the form of the template."""
        return resolved(given, self._resolve, lambda parts: {"Fn::Join": ["", parts]})

    def _resolve(self, placeholder: Placeholder) -> Any:
        if placeholder.name not in self._values:
            name = logical(placeholder.name)
            about = {"Type": "String", "Description": _sentence(placeholder.about)}
            self._sections["Parameters"][name] = {**about, **self._limits(placeholder)}
            self._values[placeholder.name] = {"Ref": name}
        return self._values[placeholder.name]

    def _limits(self, placeholder: Placeholder) -> dict[str, str]:
        if placeholder.name.startswith("ACCOUNT_"):
            return {"Default": placeholder.example, "AllowedPattern": _ACCOUNT}
        if placeholder == OUTPUT_LOCATION:
            uri = self.rehearsal.declaration.members[self.member].output or ""
            default = uri.removeprefix("s3://").rstrip("/")
            return {"AllowedPattern": _LOCATION, **({"Default": default} if default else {})}
        return {"AllowedPattern": _UUID} if placeholder.example == MEMBERSHIP.example else {}


def _rule(kind: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "policy": {"v1": {kind.lower(): rule}}}


def _as_properties(value: Any) -> Any:
    """Return parameters of the API with the names of CloudFormation, which begin with a capital letter."""
    if isinstance(value, Mapping):
        made = any(name.startswith(("Fn::", "Ref")) for name in value)  # already part of the template
        return value if made else {_capital(name): _as_properties(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_properties(each) for each in value]
    # CloudFormation would not change it, but linters of templates read it as a variable outside of Fn::Sub.
    return {"Fn::Join": ["{", value.split("{")]} if isinstance(value, str) and "${" in value else value


def _capital(name: str) -> str:
    return "MLMemberAbilities" if name == "mlMemberAbilities" else name[:1].upper() + name[1:]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _role_name(params: Mapping[str, Any]) -> str:
    name: str = params["roleArn"].parts[-1].rpartition("/")[2]
    return name


def _dynamic(value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _dynamic(each, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _dynamic(each, f"{path}[{index}]")
    elif isinstance(value, str) and _DYNAMIC in value:
        yield Problem(path, f"has {_DYNAMIC}")
