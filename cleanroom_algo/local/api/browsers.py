"""Refuses requests from web pages of other sites: this server runs code, and any page in a browser can send requests.

A page cannot choose the headers that are checked here. The browser sends the host name that the page used in Host,
which reveals a name that was pointed to this machine (DNS rebinding). It sends the origin of the page in Origin, and
the relation of the two in Sec-Fetch-Site. Other clients do not send the last two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from cleanroom_algo.errors import ForeignRequestError

LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def check_sender(environ: Mapping[str, Any], hosts: Collection[str]) -> None:
    """Check that a request was sent to a name of this server, and not by a page of another one.

    Args:
        environ: of WSGI.
        hosts: names of the server, without ports, in lower case.

    Raises:
        ForeignRequestError: CR-REQ-010.
    """
    host = environ.get("HTTP_HOST", "")
    name = _name(f"//{host}")
    if host and name not in hosts:
        raise ForeignRequestError(
            f"the header Host names {name!r}, which is not a name of this server",
            expected=f"one of {', '.join(sorted(hosts))}",
            fix="call the server by one of these names, or start it with `cleanroom-algo up --allow-host NAME`",
        )
    origin = environ.get("HTTP_ORIGIN")
    site = environ.get("HTTP_SEC_FETCH_SITE", "none")
    if origin not in (None, f"http://{host}", f"https://{host}") or site not in ("none", "same-origin"):
        raise ForeignRequestError(
            "a web page of another server sent this request",
            expected="requests from programs, or from pages of this server",
            fix="call the API from a program, such as boto3 or the aws CLI",
        )


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
