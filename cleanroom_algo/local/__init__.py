"""The local clean room: the service side, on your own machine.

In Python, it is `CleanRoom`, which is imported on first use.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cleanroom_algo.local.client import CleanRoom

__all__ = ["CleanRoom"]


def __getattr__(name: str) -> object:
    if name != "CleanRoom":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from cleanroom_algo.local.client import CleanRoom
    except ModuleNotFoundError as error:
        from cleanroom_algo.errors import ExtraMissingError

        raise ExtraMissingError.of(error) or error from None
    return CleanRoom
