"""``orchestrator server``: the HTTP API, until a signal ends it; and the socket it listens on.

SIGTERM and Ctrl-C let requests under way finish (exit status 0), a second signal ends at once. Called by operators and
by ``dev``, which hands it a socket that it keeps over restarts.
"""

from __future__ import annotations

import errno
import ipaddress
import socket

import click

from orchestrator.errors import Conflict, InvalidRequest
from orchestrator_cli.command import Leaf
from orchestrator_cli.output import say
from orchestrator_cli.roles import ready_option, tell
from orchestrator_cli.session import current_session
from orchestrator_cli.watching import Watch

EXAMPLES = """
orchestrator server
orchestrator server --port 8000 --redis redis://db:6379/0
"""

BACKLOG = 2_048


@click.command(cls=Leaf, examples=EXAMPLES)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any that is free.")
@click.option("--open", "is_open", is_flag=True, help="Listen to other machines although there are no keys.")
@click.option("--cors", "origins", multiple=True, metavar="ORIGIN", help="A site whose pages may call; repeatable.")
@click.option("--tls-cert", type=click.Path(exists=True), help="Serve HTTPS with this certificate (PEM).")
@click.option("--tls-key", type=click.Path(exists=True), help="The certificate's key, if in a file of its own.")
@click.option("--fd", type=int, hidden=True)
@ready_option
def server(
    host: str,
    port: int,
    is_open: bool,
    origins: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    fd: int | None,
    ready_fd: int | None,
) -> None:
    """Serve the HTTP API that Conductor's clients speak. Start as many as you like.

    Without keys everybody who reaches it may do everything, so it then listens to this machine only.
    """
    from orchestrator.api.process import Tls, run_server
    from orchestrator.service import access

    session = current_session(is_role=True)
    with session.store() as store:  # refuse now what every request would be refused with
        has_keys = not store.run(access.read_keyring).is_open
    listening = socket.socket(fileno=fd) if fd is not None else listen(host, port)

    def ready() -> None:
        begun()
        if ready_fd is None:
            at = address(listening, "https" if tls_cert else "http")
            say(f"Serving {at}/api (described at {at}/docs)")
        tell(ready_fd, {})

    watch = Watch()
    with listening, watch.begin() as begun:
        if not (has_keys or is_open or is_local(listening)):
            raise InvalidRequest(
                f"{address(listening)} can be reached from other machines, and there are no keys, so anybody could do "
                "everything. Make one first: orchestrator key create NAME --role admin; or say --open"
            )
        tls = Tls(tls_cert, tls_key) if tls_cert else None
        run_server(session.settings, listening, on_ready=ready, on_turn=watch.pulse(), origins=origins, tls=tls)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises ``Conflict`` when the port is in use, ``InvalidRequest`` for a bad address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(f"port {port} of {host} is in use; choose another: --port") from None
        raise InvalidRequest(f"cannot listen at {host}:{port}: {error.strerror or error}") from None


def is_local(listening: socket.socket) -> bool:
    """Whether only this machine reaches what listens there."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def address(listening: socket.socket, scheme: str = "http") -> str:
    """The URL of what listens there. Example: ``address(listen("127.0.0.1", 8080)) == "http://127.0.0.1:8080"``"""
    host, port, *_ = listening.getsockname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
