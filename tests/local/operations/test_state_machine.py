"""A room beside a model of it: whatever members ask for in whatever order, both hold the same resources."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from cleanroom_algo.errors import ConflictError, RequestError, ResourceNotFoundError
from cleanroom_algo.local.room import Room
from tests.local.support import AIRLINE, AIRLINE_ID, BUREAU, BUREAU_ID, ROLE, SETTINGS, make_members

NAMES = st.sampled_from(["forest", "tree"])
ACCOUNTS = st.sampled_from([AIRLINE, BUREAU])
MEMBERSHIPS = {AIRLINE: AIRLINE_ID, BUREAU: BUREAU_ID}
TAGS = st.dictionaries(st.sampled_from(["team", "stage", "cost"]), st.sampled_from(["a", "b"]), max_size=3)
NOBODYS = "arn:aws:cleanrooms-ml:us-east-1:111122223333:configured-model-algorithm/00000000-0000-4000-8000-000000000000"


class RoomMachine(RuleBasedStateMachine):
    """Algorithms, associations, their tags and the configurations of members.

    The model: algorithms by ARN as (account, name), associations by ARN as (account, name, ARN of the algorithm), tags
    by ARN, configurations by account.
    """

    algorithms = Bundle("algorithms")
    associations = Bundle("associations")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.room = Room(Path(self.folder.name), SETTINGS)
        self.owners: dict[str, tuple[str, str]] = {}
        self.joined: dict[str, tuple[str, str, str]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.places: dict[str, str] = {}

    @initialize()
    def people(self) -> None:
        make_members(self.room)

    def teardown(self) -> None:
        self.room.close()
        self.folder.cleanup()

    def call(self, operation: str, account: str, **params: Any) -> dict[str, Any]:
        return self.room.call(operation, params, account)

    def refused(self, kind: type[RequestError], operation: str, account: str, **params: Any) -> None:
        try:
            self.call(operation, account, **params)
        except kind:
            return
        raise AssertionError(f"{operation} was not refused")

    @rule(target=algorithms, account=ACCOUNTS, name=NAMES, tags=TAGS)
    def create_algorithm(self, account: str, name: str, tags: dict[str, str]) -> Any:
        wanted = {"name": name, "roleArn": ROLE, "trainingContainerConfig": {"imageUri": "x"}, "tags": tags}
        if (account, name) in self.owners.values():
            self.refused(ConflictError, "CreateConfiguredModelAlgorithm", account, **wanted)
            return multiple()
        arn = self.call("CreateConfiguredModelAlgorithm", account, **wanted)["configuredModelAlgorithmArn"]
        assert arn not in self.owners
        self.owners[arn], self.tags[arn] = (account, name), dict(tags)
        return arn

    @rule(target=associations, algorithm=algorithms, name=NAMES, by_owner=st.sampled_from([True, True, True, False]))
    def associate(self, algorithm: str, name: str, *, by_owner: bool) -> Any:
        owner = self.owners.get(algorithm, (AIRLINE, ""))[0]
        account = owner if by_owner else ({AIRLINE, BUREAU} - {owner}).pop()
        wanted = {"membershipIdentifier": MEMBERSHIPS[account], "name": name, "configuredModelAlgorithmArn": algorithm}
        if algorithm not in self.owners or not by_owner:
            self.refused(ResourceNotFoundError, "CreateConfiguredModelAlgorithmAssociation", account, **wanted)
            return multiple()
        if (account, name) in {each[:2] for each in self.joined.values()}:
            self.refused(ConflictError, "CreateConfiguredModelAlgorithmAssociation", account, **wanted)
            return multiple()
        answer = self.call("CreateConfiguredModelAlgorithmAssociation", account, **wanted)
        arn = answer["configuredModelAlgorithmAssociationArn"]
        self.joined[arn], self.tags[arn] = (account, name, algorithm), {}
        return arn

    @rule(association=consumes(associations))
    def part(self, association: str) -> None:
        account = self.joined.pop(association)[0]
        del self.tags[association]
        own = {"membershipIdentifier": MEMBERSHIPS[account], "configuredModelAlgorithmAssociationArn": association}
        self.call("DeleteConfiguredModelAlgorithmAssociation", account, **own)
        self.refused(ResourceNotFoundError, "GetConfiguredModelAlgorithmAssociation", account, **own)

    @rule(algorithm=algorithms)
    def delete_algorithm(self, algorithm: str) -> None:
        account = self.owners.get(algorithm, (AIRLINE, ""))[0]
        if algorithm not in self.owners:
            kind: type[RequestError] = ResourceNotFoundError
        elif algorithm in {each[2] for each in self.joined.values()}:
            kind = ConflictError
        else:
            self.call("DeleteConfiguredModelAlgorithm", account, configuredModelAlgorithmArn=algorithm)
            del self.owners[algorithm], self.tags[algorithm]
            return
        self.refused(kind, "DeleteConfiguredModelAlgorithm", account, configuredModelAlgorithmArn=algorithm)

    @rule(arn=st.one_of(algorithms, associations), tags=TAGS.filter(bool))
    def tag(self, arn: str, tags: dict[str, str]) -> None:
        if arn not in self.tags:
            self.refused(ResourceNotFoundError, "TagResource", AIRLINE, resourceArn=arn, tags=tags)
            return
        self.call("TagResource", self.owner_of(arn), resourceArn=arn, tags=tags)
        self.tags[arn] |= tags

    @rule(arn=st.one_of(algorithms, associations), key=st.sampled_from(["team", "stage"]))
    def untag(self, arn: str, key: str) -> None:
        if arn in self.tags:
            self.call("UntagResource", self.owner_of(arn), resourceArn=arn, tagKeys=[key])
            self.tags[arn].pop(key, None)

    @rule(account=ACCOUNTS, bucket=st.sampled_from(["one", "two"]))
    def configure(self, account: str, bucket: str) -> None:
        location = {"roleArn": ROLE, "destination": {"s3Destination": {"s3Uri": f"s3://{bucket}/out"}}}
        where = MEMBERSHIPS[account]
        self.call("PutMLConfiguration", account, membershipIdentifier=where, defaultOutputLocation=location)
        self.places[account] = bucket

    @rule(account=ACCOUNTS)
    def forget(self, account: str) -> None:
        own = {"membershipIdentifier": MEMBERSHIPS[account]}
        if self.places.pop(account, None) is None:
            self.refused(ResourceNotFoundError, "DeleteMLConfiguration", account, **own)
        else:
            self.call("DeleteMLConfiguration", account, **own)

    @rule()
    def restart(self) -> None:
        self.room.close()
        self.room = Room(Path(self.folder.name), SETTINGS)

    def owner_of(self, arn: str) -> str:
        return (self.owners.get(arn) or self.joined[arn])[0]

    def everything(self, operation: str, member: str, account: str, **where: str) -> list[Any]:
        found: list[Any] = []
        token: dict[str, str] = {}
        while True:
            answer = self.call(operation, account, maxResults=2, **where, **token)
            found += answer[member]
            if "nextToken" not in answer:
                return found
            token = {"nextToken": answer["nextToken"]}

    @invariant()
    def both_hold_the_same(self) -> None:
        for account, membership in MEMBERSHIPS.items():
            shown = self.everything("ListConfiguredModelAlgorithms", "configuredModelAlgorithms", account)
            mine = {arn: name for arn, (owner, name) in self.owners.items() if owner == account}
            assert {each["configuredModelAlgorithmArn"]: each["name"] for each in shown} == mine
            assert len(shown) == len(mine)
            shown = self.everything(
                "ListConfiguredModelAlgorithmAssociations",
                "configuredModelAlgorithmAssociations",
                account,
                membershipIdentifier=membership,
            )
            joined = {arn: name for arn, (owner, name, _) in self.joined.items() if owner == account}
            assert {each["configuredModelAlgorithmAssociationArn"]: each["name"] for each in shown} == joined
            if account in self.places:
                own = self.call("GetMLConfiguration", account, membershipIdentifier=membership)
                uri = own["defaultOutputLocation"]["destination"]["s3Destination"]["s3Uri"]
                assert uri == f"s3://{self.places[account]}/out"
        for arn, tags in self.tags.items():
            assert self.call("ListTagsForResource", self.owner_of(arn), resourceArn=arn)["tags"] == tags
        self.refused(ResourceNotFoundError, "GetConfiguredModelAlgorithm", AIRLINE, configuredModelAlgorithmArn=NOBODYS)


RoomMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=30)
TestRoomMachine = RoomMachine.TestCase
