"""``orchestrator server``: the HTTP API, until a signal ends it; and the socket it listens on.

SIGTERM and Ctrl-C let requests under way finish (exit status 0), a second signal ends at once. Called by operators and
by ``dev``, which hands it a socket that it keeps over restarts.
"""

from __future__ import annotations

import errno
import socket

import click

from orchestrator.errors import Conflict, InvalidRequest
from orchestrator_cli.command import Leaf
from orchestrator_cli.output import say
from orchestrator_cli.roles import ready_option, tell
from orchestrator_cli.session import current_session

EXAMPLES = """
orchestrator server
orchestrator server --port 8000 --redis redis://db:6379/0
"""

BACKLOG = 2_048


@click.command(cls=Leaf, examples=EXAMPLES)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any that is free.")
@click.option("--fd", type=int, hidden=True)
@ready_option
def server(host: str, port: int, fd: int | None, ready_fd: int | None) -> None:
    """Serve the HTTP API that Conductor's clients speak. Start as many as you like."""
    from orchestrator.api.process import run_server

    session = current_session(is_role=True)
    with session.store():  # refuse now what every request would be refused with
        pass
    listening = socket.socket(fileno=fd) if fd is not None else listen(host, port)

    def ready() -> None:
        if ready_fd is None:
            say(f"Serving {address(listening)}/api (described at {address(listening)}/docs)")
        tell(ready_fd, {})

    with listening:
        run_server(session.settings, listening, on_ready=ready)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises ``Conflict`` when the port is in use, ``InvalidRequest`` for a bad address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(f"port {port} of {host} is in use; choose another: --port") from None
        raise InvalidRequest(f"cannot listen at {host}:{port}: {error.strerror or error}") from None


def address(listening: socket.socket) -> str:
    """The URL of what listens there. Example: ``address(listen("127.0.0.1", 8080)) == "http://127.0.0.1:8080"``"""
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
