"""A view of a room: of everything, or that of one of its members.

A member sees what the API's operations show of a resource to an active member of its collaboration. Records in the view
of a member contain the members of such an answer, and none of the further values that the room stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

from cleanroom_algo.errors import NoSuchRecordError
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.projections import show, show_summary
from cleanroom_algo.local.operations.registry import Call, LocalTerms
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.arns import COLLABORATION, MEMBERSHIP
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.service_model.shapes import CLEANROOMS, ML


class _Operations(NamedTuple):
    """The operations that show a resource to a member: one of its own membership, and one of another member."""

    own: str
    others: str


_OPERATIONS: Final[Mapping[str, _Operations]] = {
    records.MODEL: _Operations("GetTrainedModel", "GetCollaborationTrainedModel"),
    records.CHANNEL: _Operations("GetMLInputChannel", "GetCollaborationMLInputChannel"),
    records.ASSOCIATION: _Operations(
        "GetConfiguredModelAlgorithmAssociation", "GetCollaborationConfiguredModelAlgorithmAssociation"
    ),
    records.INFERENCE: _Operations("GetTrainedModelInferenceJob", "ListCollaborationTrainedModelInferenceJobs"),
    records.EXPORT: _Operations(*["ListCollaborationTrainedModelExportJobs"] * 2),
}


class Person(NamedTuple):
    """A member whose view can be selected.

    Attributes:
        account: twelve digits.
        name: in its collaboration.
    """

    account: str
    name: str


@dataclass(frozen=True)
class Viewer:
    """Shows a room.

    Attributes:
        caller: of the room's operations.
        account: of the member whose view it is; None for everything.
    """

    caller: Caller
    account: str | None = None

    @property
    def workspace(self) -> Workspace:
        """The room's workspace; the caller must know what the member may see of it."""
        return self.caller.workspace

    @property
    def store(self) -> Store:
        """All records."""
        return self.caller.workspace.store

    @property
    def whole(self) -> bool:
        """Whether everything is visible, as it is to no member on AWS."""
        return self.account is None

    def owns(self, record: Record) -> bool:
        """Whether a record belongs to the member; without a member, all records do."""
        return self.account in (None, record.account)

    @cached_property
    def people(self) -> list[Person]:
        """The members whose view can be selected: all active ones, in the order in which they joined."""
        found = self.store.find(MEMBERSHIP, statuses=("ACTIVE",))
        return [Person(account, name) for account, name in {each.account: each.name for each in found}.items()][::-1]

    @property
    def name(self) -> str:
        """The name of the member; "" without a member."""
        return next((each.name for each in self.people if each.account == self.account), "")

    @cached_property
    def memberships(self) -> Mapping[str, str]:
        """The member's active memberships, by collaboration."""
        found = self.store.find(MEMBERSHIP, account=self.account or "", statuses=("ACTIVE",))
        return {each.collaboration: each.key for each in found}

    def collaborations(self) -> list[Record]:
        """Return the visible collaborations, the latest first."""
        found = self.store.find(COLLABORATION)
        return [each for each in found if self.whole or each.key in self.memberships]

    def members(self, collaboration: Record) -> list[Mapping[str, Any]]:
        """Return the members of a collaboration, as ListMembers shows them."""
        asked = {"collaborationIdentifier": collaboration.key, "maxResults": 100}
        answer = self.caller.call("ListMembers", asked, self.account or collaboration.account, service=CLEANROOMS)
        found: list[Mapping[str, Any]] = answer["memberSummaries"]
        return found

    def find(self, kind: str, *, before: int | None = None, limit: int = -1, **where: str) -> list[Record]:
        """Return the visible records, the latest first.

        Args:
            kind: a kind that `show` lists, except tables.
            before: only those created before the record with this position (`Record.seq`).
            limit: the maximum number; -1 for all.
            where: columns that must be equal: see `Store.find`.
        """
        if self.whole:
            return self.store.find(kind, before=before, limit=limit, **where)
        seen = [each for each in self.memberships if where.get("collaboration", each) == each]
        found = [
            record
            for collaboration in seen
            for record in self.store.find(kind, before=before, limit=limit, **{**where, "collaboration": collaboration})
        ]
        found.sort(key=lambda record: -record.seq)
        return [self._as_shown(each) for each in (found if limit < 0 else found[:limit])]

    def count(self, kind: str) -> int:
        """Return the number of visible records of a kind."""
        if self.whole:
            return self.store.count(kind)
        return sum(self.store.count(kind, collaboration=each) for each in self.memberships)

    def get(self, kind: str, place: int) -> Record:
        """Return the record at a position (`Record.seq`) in this view.

        Raises:
            NoSuchRecordError: CR-CLI-007, there is none, or it is not visible to the member.
        """
        seen = self.seen(self.kept(kind, place))
        if seen is None:
            raise _unseen(kind)
        return seen

    def kept(self, kind: str, place: int) -> Record:
        """Return the stored record at a position, with all values.

        Raises:
            NoSuchRecordError: CR-CLI-007.
        """
        found = self.store.find(kind, seq=str(place))
        if not found:
            raise _unseen(kind)
        return found[0]

    def seen(self, record: Record) -> Record | None:
        """Return a record in this view; None if it is not visible to the member."""
        if self.whole:
            return record
        if record.collaboration not in self.memberships:
            return None
        return self._as_shown(record)

    def _as_shown(self, record: Record) -> Record:
        account = self.account or ""
        own, others = _OPERATIONS[record.kind]
        operation = own if record.account == account else others
        call = Call(self.workspace, operation, {}, account, self.workspace.settings.machine.region, ML, LocalTerms())
        shown = show(call, record) if operation.startswith("Get") else show_summary(call, record)
        return replace(record, document=shown, private={})


def _unseen(kind: str) -> NoSuchRecordError:
    return NoSuchRecordError(
        f"there is no such {kind.replace('-', ' ')}, or the member that you look as does not see it",
        expected="an address from a list of this page",
        fix="go back to the list, or look at the whole room",
    )
