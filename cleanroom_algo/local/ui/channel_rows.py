"""The size of a channel as pages show it, with the rows of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cleanroom_algo.local.resources.states import ACTIVE
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.summaries.channel_sizes import ChannelSizes, channel_sizes
from cleanroom_algo.local.ui.background import Background, Found
from cleanroom_algo.local.ui.page import viewer

_COUNTED: Final = 40  # channels of a list whose files are counted
_SIZES: Final[Background[ChannelSizes]] = Background()


def shown_sizes(channels: Sequence[Record]) -> tuple[list[ChannelSizes], bool]:
    """Return the sizes of channels as they are seen, and whether some rows are still being counted.

    The rows of files are counted in the background, and only for the author's own machine: the API does not show them.
    """
    found = [channel_sizes(each.document) for each in channels]
    uncounted = [
        (number, each)
        for number, each in enumerate(channels)
        if viewer().whole and found[number].rows is None and each.status == ACTIVE and "location" in each.private
    ]
    counting = False
    for number, each in uncounted[:_COUNTED]:
        counted = _counted(each, found[number])
        found[number] = counted.result or found[number]
        counting |= counted.result is None
    return found, counting


def _counted(channel: Record, known: ChannelSizes) -> Found[ChannelSizes]:
    from cleanroom_algo.local.summaries.inspection import counted_rows

    workspace = viewer().workspace
    return _SIZES.ask(
        (workspace.files.home, channel.key, channel.updated),
        lambda before: before or known._replace(rows=counted_rows(workspace, channel)),
    )
