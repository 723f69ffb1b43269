"""Connections into another network namespace, without a port on this machine's own network."""

from __future__ import annotations

import array
import os
import socket
import threading


class NamespaceConnector:
    """This side of a socket whose other end belongs to a process inside the namespace (see `network.py`).

    Args:
        requests: each byte that is sent on it requests a connection.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._lock = threading.Lock()

    def connect(self, timeout: float | None) -> socket.socket:
        """Return a connection to the host's port 8080.

        Raises:
            OSError: no program listens there, or the process inside has ended.
        """
        descriptors = array.array("i")
        with self._lock:
            self._requests.send(b"1")
            answer, extra, _, _ = self._requests.recvmsg(16, socket.CMSG_SPACE(descriptors.itemsize))
        for _, _, data in extra:
            descriptors.frombytes(data)
        if not answer:
            raise ConnectionResetError("the process in the host's network has ended")
        if not descriptors:
            raise OSError(int(answer), os.strerror(int(answer)))
        connection = socket.socket(fileno=descriptors[0])
        connection.settimeout(timeout)
        return connection

    def close(self) -> None:
        """End the process inside."""
        self._requests.close()


def enter(pid: int) -> list[str]:
    """Return the words before a command that run it in the network namespace of a process."""
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", *user, "--net", "--target", str(pid), "--"]
