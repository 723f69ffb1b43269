"""The size of an ML input channel, as the API shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cleanroom_algo.contract.sizes import GB


class ChannelSizes(NamedTuple):
    """The size of a channel; None for unknown values.

    Attributes:
        rows: the number of rows.
        files: the number of files.
        bytes: of all files.
    """

    rows: int | None
    files: float | None
    bytes: int | None


def channel_sizes(shown: Mapping[str, Any]) -> ChannelSizes:
    """Return the size of a channel.

    Args:
        shown: the API's description of it.
    """
    size = shown.get("sizeInGb")
    rows, files = shown.get("numberOfRecords"), shown.get("numberOfFiles")
    return ChannelSizes(rows, files, None if size is None else round(size * GB))
