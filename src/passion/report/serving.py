"""A page on this machine's own address, for browsers that restrict pages opened from files."""

import io
import socket
import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from passion.errors import say

LOOPBACK = "127.0.0.1"


class _Handler(SimpleHTTPRequestHandler):
    """Serves files of one folder, and only to those who ask for this machine."""

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        """The file that is asked for; None where the answer is an error."""
        # A foreign page whose name is made to resolve to this machine is another host to the browser.
        if self.headers.get("Host", "").split(":")[0] not in (LOOPBACK, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        return super().send_head()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that it has there
        """Say nothing of each file."""


class _Server(ThreadingHTTPServer):
    """Says nothing where a browser breaks off: pages are left while they load."""

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Told on standard error, unless the connection was broken off."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def server(folder: Path) -> ThreadingHTTPServer:
    """A server of `folder` on a free port of the loopback interface; not started."""
    return _Server((LOOPBACK, 0), partial(_Handler, directory=str(folder)))


def serve(folder: Path) -> None:
    """Serve `folder` until interrupted."""
    with server(folder) as running:
        say(f"http://{LOOPBACK}:{running.server_address[1]}/ shows the page; Ctrl-C ends it")
        sys.stdout.flush()
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            say("ended")
