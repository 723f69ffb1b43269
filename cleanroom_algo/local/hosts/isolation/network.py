"""The network of one job's sandboxes, kept by a separate process: when it ends, the complete network is gone.

Run by `isolated_python` with the arguments LIFELINE FIRST DESCRIPTOR..., one descriptor for each host. It creates a
network namespace with a bridge and, for each host, a namespace whose only network is its `eth0` on the bridge. It then
prints the processes that keep the hosts' namespaces, and ends with LIFELINE. On DESCRIPTOR, a Unix socket, each byte
requests a connection to the host's port 8080; the reply is the connected socket.

With `serve ADDRESS DESCRIPTOR`, run in the network of an existing host, it only does the latter.

All of this is in a user namespace. Without root privileges, its root is the caller. For root, FIRST is the user outside
that is its root, and the following ones are its other users. If FIRST is 0, there is no user namespace. A job's start
waits for this process: it only imports modules of the standard library, and before the network exists only those that
it needs for that.
"""

import ctypes
import os
import sys

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_NETWORK = "10.0.0"  # a common one of virtual private clouds; these namespaces have no other network
USERS = 65_536  # the same number as in a container
SERVE_PORT = 8080  # where a serving container answers (SageMaker developer guide, "Use your own inference code")


def address(number: int) -> str:
    """Return the address of a host, counted from 0."""
    return f"{_NETWORK}.{number + 10}"


def run() -> None:
    """Create the network, and keep it until the lifeline ends."""
    if sys.argv[1] == "serve":
        _serve(sys.argv[2], int(sys.argv[3]))
        return
    lifeline = int(sys.argv[1])
    _unshare(int(sys.argv[2]))
    hosts = [_Host(number, int(descriptor)) for number, descriptor in enumerate(sys.argv[3:])]
    _ip(
        "link set lo up",
        "link add br0 type bridge",
        "link set br0 up",
        *(line for host in hosts for line in host.link()),
    )
    for host in hosts:
        host.go_on()
    print(*(host.finish() for host in hosts), flush=True)
    while os.read(lifeline, 1):
        pass


def _unshare(first: int) -> None:
    user, group = os.getuid(), os.getgid()
    if first:
        maps = [("uid_map", f"0 {first} {USERS}"), ("gid_map", f"0 {first} {USERS}")]
    elif user:
        maps = [("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")]
    else:
        _call("unshare", _CLONE_NEWNET)
        return
    (unshared, says), process = os.pipe(), os.getpid()
    writer = os.fork()  # only a process outside may map more than one user
    if writer == 0:
        os.close(says)
        if os.read(unshared, 1):
            for name, text in maps:
                with open(f"/proc/{process}/{name}", "w", encoding="ascii") as file:
                    file.write(text)
        os._exit(0)
    _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    os.write(says, b"1")
    if os.waitpid(writer, 0)[1] != 0:
        raise SystemExit("the users of the sandbox could not be mapped")


class _Host:
    """The process that keeps a host's namespace, forked; the steps of the hosts run in parallel."""

    def __init__(self, number: int, descriptor: int) -> None:
        self._number = number
        (ready, says), (asked, self._connected) = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._connected)
            _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL)
            _call("unshare", _CLONE_NEWNET)
            os.write(says, b"1")
            if os.read(asked, 1):
                _ip("link set lo up", f"addr add {address(number)}/24 dev eth0", "link set eth0 up")
                os.write(says, b"1")
                _serve(address(number), descriptor)
            os._exit(1)
        os.close(says)
        self._ready = ready

    def link(self) -> tuple[str, ...]:
        """Return what connects the namespace with the bridge, when it exists."""
        self._wait()
        name = f"veth{self._number}"
        return f"link add {name} type veth peer name eth0 netns {self._pid}", f"link set {name} master br0 up"

    def go_on(self) -> None:
        """Let the host take its address."""
        os.write(self._connected, b"1")

    def finish(self) -> int:
        """Return the process when its network is ready."""
        self._wait()
        return self._pid

    def _wait(self) -> None:
        if not os.read(self._ready, 1):
            raise SystemExit("a host's network could not be created")


def _serve(host: str, descriptor: int) -> None:
    """Answer each byte with a connected socket, or with the number of the error."""
    import array
    import socket

    requests = socket.socket(fileno=descriptor)
    while requests.recv(1):
        try:
            with socket.create_connection((host, SERVE_PORT)) as connection:
                sent = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))]
                requests.sendmsg([b"0"], sent)
        except OSError as error:
            requests.send(str(error.errno or 0).encode())


def _ip(*commands: str) -> None:
    """Run commands of iproute2, all in one process."""
    reads, writes = os.pipe()
    os.write(writes, "\n".join(commands).encode())  # less than the capacity of a pipe
    os.close(writes)
    pid = os.fork()
    if pid == 0:
        os.dup2(reads, 0)
        os.setresgid(0, 0, 0)  # only root keeps its rights in another program
        os.setresuid(0, 0, 0)
        for folder in os.environ["PATH"].split(os.pathsep):
            try:
                os.execv(f"{folder}/ip", ["ip", "-batch", "-"])  # noqa: S606
            except OSError:  # `execvp` would import more of Python, which may be readable only for root outside
                continue
        os._exit(1)
    os.close(reads)
    if os.waitpid(pid, 0)[1] != 0:
        raise SystemExit("`ip` could not create a network")


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
