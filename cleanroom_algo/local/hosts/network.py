"""The network of one job's sandboxes, held by a process of its own: when that ends, everything of it is gone.

Run as a script with nothing but the standard library: `network.py LIFELINE NAME:DESCRIPTOR...`. It makes a network
namespace with a bridge and, for each host, a namespace whose `eth0` is on that bridge; there is no other way out of
them. It then prints a JSON object, the process that holds each host's namespace by name, and ends with LIFELINE. On
DESCRIPTOR, a Unix socket, each byte asks for a connection to the host's port 8080; the answer is the connected socket.

`network.py serve ADDRESS DESCRIPTOR`, run in the network of a host that is there already, does that alone.

Without root's rights all of it happens in a user namespace, in which whoever calls is root.
"""

import array
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_NETWORK = "10.0.0"  # a usual one of virtual private clouds; nothing else is in these namespaces
SERVE_PORT = 8080  # where a serving container answers (SageMaker developer guide, "Use your own inference code")


def address(number: int) -> str:
    """Return the address of a host, counted from 0."""
    return f"{_NETWORK}.{number + 10}"


def main() -> int:
    """Make the network, and hold it until the lifeline ends."""
    if sys.argv[1] == "serve":
        _serve(sys.argv[2], socket.socket(fileno=int(sys.argv[3])))
        return 0
    lifeline = int(sys.argv[1])
    hosts = [word.partition(":") for word in sys.argv[2:]]
    _unshare()
    _ip("link set lo up", "link add br0 type bridge", "link set br0 up")
    holders = {name: _make_host(number, int(descriptor)) for number, (name, _, descriptor) in enumerate(hosts)}
    print(json.dumps(holders), flush=True)
    while os.read(lifeline, 1):
        pass
    return 0


def _unshare() -> None:
    user, group = os.getuid(), os.getgid()
    if os.geteuid() == 0:
        _call("unshare", _CLONE_NEWNET)
        return
    _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def _make_host(number: int, descriptor: int) -> int:
    """Fork the holder of a host's namespace, and connect that with the bridge; return its process."""
    ready, connected = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
        _call("unshare", _CLONE_NEWNET)
        os.write(ready[1], b"1")
        os.close(connected[1])
        if os.read(connected[0], 1):
            _ip("link set lo up", f"addr add {address(number)}/24 dev eth0", "link set eth0 up")
            os.write(ready[1], b"1")
            _serve(address(number), socket.socket(fileno=descriptor))
        os._exit(1)
    os.close(ready[1])
    if os.read(ready[0], 1):
        _ip(f"link add veth{number} type veth peer name eth0 netns {pid}", f"link set veth{number} master br0 up")
        os.write(connected[1], b"1")
    if not os.read(ready[0], 1):
        raise SystemExit("a host's network could not be made")
    return pid


def _serve(host: str, requests: socket.socket) -> None:
    """Answer each byte with a connected socket, or with the number of the error that came in its place."""
    while requests.recv(1):
        try:
            with socket.create_connection((host, SERVE_PORT)) as connection:
                sent = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))]
                requests.sendmsg([b"0"], sent)
        except OSError as error:
            requests.send(str(error.errno or 0).encode())


def _ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    sys.exit(main())
