"""A page on this machine's own address, for browsers that restrict pages opened from files."""

import io
import re
import secrets
import socket
import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from passion.errors import say

LOOPBACK = "127.0.0.1"

OWN = re.compile(r"index\.html|viewer/[\w.-]+")
"""What a page consists of."""


class _Handler(SimpleHTTPRequestHandler):
    """Serves the files of a page, and only to those who ask for this machine and know the secret."""

    def __init__(self, *args: Any, directory: str, secret: str) -> None:
        self.secret = secret
        super().__init__(*args, directory=directory)

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        """The file that is asked for; None where the answer is an error."""
        # A foreign page whose name is made to resolve to this machine is another host to the browser.
        if self.headers.get("Host", "").split(":")[0] not in (LOOPBACK, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        asked = self._asked()
        if asked is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        self.path = f"/{asked}"
        return super().send_head()

    def _asked(self) -> str | None:
        """Which file of the page; None where it is none, or a link to elsewhere, or the secret is wrong."""
        path, start = unquote(self.path.partition("?")[0]), f"/{self.secret}/"
        if not secrets.compare_digest(path[: len(start)].encode(), start.encode()):
            return None
        name = path[len(start) :] or "index.html"
        folder = Path(self.directory).resolve()
        own = OWN.fullmatch(name) and (folder / name).is_file() and (folder / name).resolve() == folder / name
        return name if own else None

    def end_headers(self) -> None:
        """Pages of other sites may not include the scripts, which hold the cases."""
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that it has there
        """Say nothing of each file."""


class _Server(ThreadingHTTPServer):
    """Says nothing where a browser breaks off: pages are left while they load."""

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Told on standard error, unless the connection was broken off."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def server(folder: Path, secret: str) -> ThreadingHTTPServer:
    """A server of the page in `folder` at /`secret`/ on a free port of the loopback interface; not started."""
    return _Server((LOOPBACK, 0), partial(_Handler, directory=str(folder), secret=secret))


def serve(folder: Path) -> None:
    """Serve the page in `folder` until interrupted, at an address that nobody else on this machine can guess."""
    secret = secrets.token_urlsafe()
    with server(folder, secret) as running:
        say(f"http://{LOOPBACK}:{running.server_address[1]}/{secret}/ shows the page; Ctrl-C ends it")
        sys.stdout.flush()
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            say("ended")
