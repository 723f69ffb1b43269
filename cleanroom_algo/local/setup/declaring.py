"""Creates a declared room, and updates it when its file has changed, by calling the operations.

What the service can neither change nor delete is either created again with the same ARN, so that request files stay
valid, or kept, with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from cleanroom_algo.errors import ConflictError, DeclarationError, Problem, QueryError, RequestError
from cleanroom_algo.local.objects.listing import Source, source_of
from cleanroom_algo.local.objects.s3 import SCHEME, S3Prefix, list_objects
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.query.parsing import parse
from cleanroom_algo.local.query.resolution import referenced_tables
from cleanroom_algo.local.query.templates import placeholders
from cleanroom_algo.local.resources.arns import (
    ALGORITHM,
    ANALYSIS_TEMPLATE,
    ASSOCIATION,
    COLLABORATION,
    INPUT_CHANNEL,
    MEMBERSHIP,
    ML_CONFIGURATION,
    PRIVACY_BUDGET,
    TABLE_ASSOCIATION,
    Arn,
    cleanrooms_arn,
    ml_arn,
    template_arn,
)
from cleanroom_algo.local.resources.states import ACTIVE, ENDED
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.usage import channel_is_read
from cleanroom_algo.local.service_model.shapes import CLEANROOMS
from cleanroom_algo.local.setup.declaration import (
    AlgorithmEntry,
    ChannelEntry,
    Declaration,
    Member,
    TableEntry,
    TemplateEntry,
    read_declaration,
)
from cleanroom_algo.local.setup.declared_requests import member_specification, template_content
from cleanroom_algo.local.setup.members import configure_output, create_collaboration, join
from cleanroom_algo.local.setup.names import identifier, image_uri, role
from cleanroom_algo.local.setup.tables import DeclaredTable

_ANEW: Final = "`cleanroom-algo clean --yes` removes the room, which can then be declared again"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between an entry of the file and the room.

    Attributes:
        entry: such as `tables.flights`.
        done: whether the room was changed, or kept.
        why: what differs; for a kept entry, why it was kept.
    """

    entry: str
    done: Literal["changed", "kept"]
    why: str


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared room.

    Attributes:
        channels: ARNs by name.
        changes: in a room that existed before.
    """

    channels: Mapping[str, str]
    changes: Sequence[Change]


def declare(caller: Caller, path: Path) -> Declared:
    """Create what a cleanroom.toml declares and the room lacks, and change what differs.

    Queries of new and changed channels are queued, and also those that failed, whose tables are declared differently or
    have newer files, or that another engine has computed.

    Args:
        caller: of the room's operations.
        path: of the file; paths in it are relative to its folder.

    Raises:
        DeclarationError: CR-ROM-006. ObjectStoreError: CR-ROM-004, the objects of a table in S3 cannot be listed.
            The room is then not changed.
    """
    maker = _Maker(caller, read_declaration(path), path.absolute().parent)
    try:
        with caller.transaction():
            maker.make()
    except RequestError as error:
        faults = error.problems or (Problem("", f"{error.what}; {error.fix}"),)
        problems = [Problem(".".join(filter(None, (maker.at, each.path))), each.message) for each in faults]
        raise DeclarationError(
            f"{path} has a declaration that the API refuses",
            expected=f"entries that the API accepts ({error.code}: {error.expected})",
            fix="correct the file; docs/guides/declare-a-room.md describes its entries",
            problems=problems,
        ) from error
    return Declared(maker.channels, tuple(maker.changes))


@dataclass
class _Maker:
    caller: Caller
    declaration: Declaration
    folder: Path
    at: str = "collaboration"  # the entry that is being created
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = self.caller.workspace.store
        self.region = self.caller.workspace.settings.machine.region
        self.name = self.declaration.collaboration.name
        self.locations = {
            name: source_of(each.location if each.location.startswith(SCHEME) else str(self.folder / each.location))
            for name, each in self.declaration.tables.items()
        }
        endpoint = self.caller.workspace.settings.machine.s3_url
        self.changed_at = {name: _changed_at(each, endpoint) for name, each in self.locations.items()}
        self.collaboration = self.declaration.collaboration.id or identifier(self.name)
        self.memberships = {
            name: member.membership or identifier(self.name, name) for name, member in self.declaration.members.items()
        }
        self.associations = {
            name: self._arn(each.owner, ASSOCIATION, each.association or identifier(self.name, ASSOCIATION, name))
            for name, each in self.declaration.algorithms.items()
        }
        self.templates = {
            name: template_arn(
                self.region,
                self._account(each.owner),
                self.memberships[each.owner],
                identifier(self.name, ANALYSIS_TEMPLATE, name),
            )
            for name, each in self.declaration.templates.items()
        }
        self.channels = {
            name: self._arn(each.owner, INPUT_CHANNEL, each.id or identifier(self.name, INPUT_CHANNEL, name))
            for name, each in self.declaration.channels.items()
        }

    def make(self) -> None:
        """Create each entry, or compare it with the existing resource."""
        self._members()
        steps: tuple[tuple[str, Mapping[str, Any], Any], ...] = (
            ("algorithms", self.declaration.algorithms, self._algorithm),
            ("templates", self.declaration.templates, self._template),
            ("tables", self.declaration.tables, self._table),
            ("channels", self.declaration.channels, self._channel),
        )
        for kind, entries, step in steps:
            for name, entry in entries.items():
                self.at = f"{kind}.{name}"
                step(name, entry)
        declared = {name.lower() for name in self.declaration.tables}
        for each in self.store.find(TABLE_ASSOCIATION, collaboration=self.collaboration):
            if each.name.lower() not in declared:
                why = f"is not in the file; queries still see it; {_ANEW}"
                self.changes.append(Change(f"tables.{each.name}", "kept", why))

    def _members(self) -> None:
        specifications = [member_specification(name, each) for name, each in self.declaration.members.items()]
        made = self.store.get(COLLABORATION, self.collaboration)
        create_collaboration(self.caller, self.collaboration, self.name, specifications)
        if made is not None and made.name != self.name:
            asked = {"collaborationIdentifier": self.collaboration, "name": self.name}
            self.caller.call("UpdateCollaboration", asked, made.account, service=CLEANROOMS)
            self._changed("name")
        for (name, member), specification in zip(self.declaration.members.items(), specifications, strict=True):
            self.at = f"members.{name}"
            existing = self.store.get(MEMBERSHIP, self.memberships[name])
            joined = join(self.caller, self.collaboration, specification, self.memberships[name], member.output)
            if existing is not None:
                self._compare_member(existing, member)
            configured = self.store.get(ML_CONFIGURATION, joined.key)
            if member.output is not None and configured is not None:
                destination = configured.document["defaultOutputLocation"]["destination"]["s3Destination"]["s3Uri"]
                if destination != member.output:
                    configure_output(self.caller, joined, member.output)
                    self._changed("output")

    def _compare_member(self, existing: Record, member: Member) -> None:
        if existing.account != member.account:
            raise ConflictError(
                f"the member has account {existing.account} in the room",
                expected="the account with which the member joined",
                fix=_ANEW,
            )
        document = existing.document
        pays = document.get("paymentConfiguration", {}).get("queryCompute", {}).get("isResponsible", False)
        abilities = document.get("memberAbilities", [])
        of_ml = document.get("mlMemberAbilities", {}).get("customMLMemberAbilities", [])
        found = {
            "abilities": set(abilities) == set(member.abilities),
            "ml_abilities": set(of_ml) == set(member.ml_abilities),
            "pays": pays == member.pays,
        }
        if differing := [name for name, same in found.items() if not same]:
            why = f"{', '.join(differing)} cannot be changed once a member has joined; {_ANEW}"
            self.changes.append(Change(self.at, "kept", why))

    def _algorithm(self, name: str, entry: AlgorithmEntry) -> None:
        account, arn = self._account(entry.owner), self.associations[name]
        call = partial(self.caller.call, account=account)
        training = self._training_container(entry)
        inference = {"imageUri": image_uri(self._image(entry.inference_image or entry.image))}
        terms = LocalTerms(
            identifier(self.name, "algorithm", name),
            self._image(entry.image),
            inference_location=self._image(entry.inference_image) if entry.inference_image else "",
        )
        privacy = {"privacyConfiguration": {"policies": entry.privacy}} if entry.privacy else {}
        association = self.store.get(ASSOCIATION, arn)
        if association is not None:
            algorithm = self.store.get(ALGORITHM, association.parent)
            assert algorithm is not None  # it exists as long as it has an association
            differing = [
                *_differing(algorithm.document["trainingContainerConfig"], {**_NO_CHOICES, **training}),
                *_differing(algorithm.document, {"inferenceContainerConfig": inference}),
                *_differing(algorithm.private, {"inference_location": None, **terms.kept}),
                *_differing(association.document, {"privacyConfiguration": None, **privacy}),
            ]
            if not differing:
                return
            identity = {"configuredModelAlgorithmAssociationArn": arn}
            membership = {"membershipIdentifier": association.membership}
            call("DeleteConfiguredModelAlgorithmAssociation", {**membership, **identity})
            call("DeleteConfiguredModelAlgorithm", {"configuredModelAlgorithmArn": algorithm.key})
            self._changed(*differing)
        own = {"name": name, "roleArn": role(account)}
        containers = {"trainingContainerConfig": training, "inferenceContainerConfig": inference}
        made = call("CreateConfiguredModelAlgorithm", {**own, **containers}, terms=terms)
        call(
            "CreateConfiguredModelAlgorithmAssociation",
            {"membershipIdentifier": self.memberships[entry.owner], "name": name, **made, **privacy},
            terms=LocalTerms(Arn.parse(arn).identifier),
        )

    def _training_container(self, entry: AlgorithmEntry) -> dict[str, Any]:
        values = (list(entry.entrypoint), list(entry.arguments), list(entry.metric_definitions))
        chosen = dict(zip(_NO_CHOICES, values, strict=True))
        given = {name: value for name, value in chosen.items() if value}
        return {"imageUri": image_uri(self._image(entry.image)), **given}

    def _image(self, name: str) -> str:
        """Return an image's name, or the absolute path of a file or folder."""
        local = self.folder / name
        return str(local.resolve()) if local.exists() else name

    def _template(self, name: str, entry: TemplateEntry) -> None:
        arn = self.templates[name]
        own = {"membershipIdentifier": self.memberships[entry.owner]}
        content = template_content(entry)
        call = partial(self.caller.call, account=self._account(entry.owner), service=CLEANROOMS)
        if (existing := self.store.get(ANALYSIS_TEMPLATE, arn)) is not None:
            differing = _differing(existing.document, {"syntheticDataParameters": None, **content})
            if not differing:
                return
            call("DeleteAnalysisTemplate", {**own, "analysisTemplateIdentifier": arn.rpartition("/")[2]})
            self._changed(*differing)
        asked = {**own, "name": name, "format": "SQL", **content}
        call("CreateAnalysisTemplate", asked, terms=LocalTerms(arn.rpartition("/")[2]))

    def _table(self, name: str, entry: TableEntry) -> None:
        owner = self.store.get(MEMBERSHIP, self.memberships[entry.owner])
        assert owner is not None
        table = DeclaredTable(
            owner,
            name,
            str(self.locations[name]),
            entry.format,
            entry.columns,
            entry.join_columns,
            None if entry.allowed_templates is None else [self.templates[each] for each in entry.allowed_templates],
            analyses=[self._analysis(each) for each in entry.allowed_associations],
            askers=[member.account for member in self.declaration.members.values()],
        )
        if differing := table.bring_in(self.caller):
            self._changed(*differing)
        self.at += ".access_budget"  # if only the budget changes, do not run queries again: they would use it
        self._budget(owner, identifier("table-association", owner.key, name), entry)

    def _budget(self, owner: Record, association: str, entry: TableEntry) -> None:
        budgets = self.store.find(PRIVACY_BUDGET, parent=association)
        if entry.access_budget is None:
            if budgets:
                why = "is not in the file; it still limits queries; DeletePrivacyBudgetTemplate removes it"
                self.changes.append(Change(self.at, "kept", why))
            return
        path = (MEMBERSHIP, owner.key, "configuredtableassociation", association)
        wanted = {
            "resourceArn": cleanrooms_arn(self.region, owner.account, *path),
            "budgetParameters": [
                {"type": kind, "budget": uses, **({} if kind == "LIFETIME" else {"autoRefresh": "ENABLED"})}
                for kind, uses in entry.access_budget.items()
            ],
        }
        asked: dict[str, Any] = {"membershipIdentifier": owner.key, "privacyBudgetType": "ACCESS_BUDGET"}
        call = partial(self.caller.call, account=owner.account, service=CLEANROOMS)
        if not budgets:
            call("CreatePrivacyBudgetTemplate", {**asked, "parameters": {"accessBudget": wanted}})
        elif budgets[0].document["parameters"]["accessBudget"] != wanted:
            of_update = {"accessBudget": {"budgetParameters": wanted["budgetParameters"]}}
            asked["privacyBudgetTemplateIdentifier"] = budgets[0].key
            call("UpdatePrivacyBudgetTemplate", {**asked, "parameters": of_update})
            self._changed("access_budget")

    def _analysis(self, name: str) -> str:
        """Return an allowed additional analysis: of a declared algorithm, of all, or an ARN."""
        if name == "*":
            return ml_arn(ASSOCIATION, self.region, "*", "*", "*")
        return self.associations.get(name, name)

    def _channel(self, name: str, entry: ChannelEntry) -> None:
        account, arn = self._account(entry.owner), self.channels[name]
        sql: dict[str, Any] = {"queryString": entry.query}
        if entry.template is not None:
            sql = {"analysisTemplateArn": self.templates[entry.template], "parameters": entry.parameters}
        query = {"sqlParameters": sql, "resultFormat": entry.format}
        content = {
            "configuredModelAlgorithmAssociations": [self.associations[entry.algorithm]],
            "inputChannel": {"dataSource": {"protectedQueryInputParameters": query}, "roleArn": role(account)},
            "retentionInDays": entry.retention_days,
        }
        if (existing := self.store.get(INPUT_CHANNEL, arn)) is not None:
            reasons = [*_differing(existing.document, content), *self._stale(existing, entry)]
            if not reasons or not self._may_be_remade(existing, reasons):
                return
            self.store.delete(existing)  # no operation removes a channel; its files are replaced when the query has run
            self._changed(*reasons)
        asked = {"membershipIdentifier": self.memberships[entry.owner], "name": name, **content}
        self.caller.call("CreateMLInputChannel", asked, account, terms=LocalTerms(Arn.parse(arn).identifier))

    def _may_be_remade(self, channel: Record, reasons: Sequence[str]) -> bool:
        """Whether no job uses a channel; else a message names one."""
        if channel.status in ENDED and not channel_is_read(self.store, channel):
            return True
        busy = "jobs that read it are running" if channel.status in ENDED else f"it is {channel.status}"
        why = f"{', '.join(reasons)}: {busy}; declare again when that has ended"
        self.changes.append(Change(self.at, "kept", why))
        return False

    def _stale(self, channel: Record, entry: ChannelEntry) -> list[str]:
        """Return why the query of a channel would now return other rows; also if it has not returned any."""
        if channel.status in ENDED and channel.status != ACTIVE:
            return [f"it is {channel.status}"]
        changed = {each.entry for each in self.changes if each.done == "changed"}
        reasons = [f"the template {entry.template}"] if f"templates.{entry.template}" in changed else []
        computed_by = self.caller.workspace.settings.computed_by
        if channel.private.get("computed_by", computed_by) != computed_by:
            reasons.append("queries")
        template = None if entry.template is None else self.declaration.templates[entry.template]
        text, parameters = (entry.query, ()) if template is None else (template.query, template.parameters)
        try:
            used = referenced_tables(parse(text or "", placeholders(parameters)))
        except QueryError:  # the query itself will report it
            used = []
        for name in self.declaration.tables:
            if name.lower() in used and f"tables.{name}" in changed:
                reasons.append(f"the table {name}")
            elif name.lower() in used and self.changed_at[name] > channel.created:
                reasons.append(f"the files of the table {name}")
        return reasons

    def _changed(self, *differing: str) -> None:
        spelled = dict.fromkeys(_SPELLED.get(each, each) for each in differing)
        self.changes.append(Change(self.at, "changed", ", ".join(spelled)))

    def _account(self, owner: str) -> str:
        return self.declaration.members[owner].account

    def _arn(self, owner: str, kind: str, own: str) -> str:
        return ml_arn(kind, self.region, self._account(owner), self.memberships[owner], own)


_NO_CHOICES: Final = {"entrypoint": None, "arguments": None, "metricDefinitions": None}
_SPELLED: Final = {
    "imageUri": "image",
    "metricDefinitions": "metric_definitions",
    "inferenceContainerConfig": "inference_image",
    "location": "image",
    "inference_location": "inference_image",
    "privacyConfiguration": "privacy",
    "source": "query",
    "analysisParameters": "parameters",
    "syntheticDataParameters": "synthetic",
    "configuredModelAlgorithmAssociations": "algorithm",
    "inputChannel": "query",
    "retentionInDays": "retention_days",
}
"""The names in the file for members of requests."""


def _differing(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the members that differ; None means that a member should not exist."""
    return [name for name, value in wanted.items() if held.get(name) != value]


def _changed_at(location: Source, endpoint: str | None) -> float:
    """Return the time of the last change of a table's files, in seconds since 1970; 0 if there are none."""
    if isinstance(location, S3Prefix):
        # S3 has whole seconds: a change in the second in which a query was requested counts as later.
        return max((place.modified + 1 for place, _ in list_objects(location, endpoint)), default=0.0)
    files = [each for each in location.rglob("*") if each.is_file()] if location.is_dir() else [location]
    return max((each.stat().st_mtime for each in files if each.exists()), default=0.0)
