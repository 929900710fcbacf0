import http.client
import re
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from passion.report import serving

Ask = Callable[..., http.client.HTTPResponse]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Asks a server of a page, which lies beside other files, for a path."""
    (tmp_path / "page/viewer/more").mkdir(parents=True)
    (tmp_path / "page/index.html").write_text("the page")
    (tmp_path / "page/viewer/case0.js").write_text("a case")
    for name in ("mine.txt", "page/mine.txt", "page/viewer/more/mine.txt"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "page/viewer/link.js").symlink_to(tmp_path / "mine.txt")
    with serving.server(tmp_path / "page", "secret") as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        host, port = running.server_address[:2]
        assert host == "127.0.0.1"

        def asked(path: str, name: str = "127.0.0.1") -> http.client.HTTPResponse:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", path, headers={"Host": f"{name}:{port}"})
            return connection.getresponse()

        yield asked
        running.shutdown()
        thread.join()


def test_a_page_is_served_at_its_secret_address(ask: Ask) -> None:
    assert ask("/secret/").read() == b"the page"
    assert ask("/secret/index.html?again", "localhost").read() == b"the page"
    case = ask("/secret/viewer/case0.js")
    assert case.read() == b"a case"
    assert case.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    [
        "/", "/index.html", "/other/index.html", "/secre/", "/secret", "/secret/mine.txt", "/secret/../mine.txt",
        "/secret/viewer/", "/secret/viewer", "/secret/viewer/link.js", "/secret/viewer/more/mine.txt",
        "/secret/viewer/../mine.txt", "/secret/viewer/%2e%2e/mine.txt", "/secret/viewer/..", "/secret//viewer/case0.js",
        "/viewer/case0.js", "/%00/", "http://[", "/secret/viewer/%00",
    ],
)  # fmt: skip
def test_nothing_but_the_page_is_served_and_nothing_without_the_secret(ask: Ask, path: str) -> None:
    answer = ask(path)
    assert (answer.status, b"mine" in answer.read()) == (404, False)


def test_a_page_of_another_name_is_not_answered(ask: Ask) -> None:
    """A foreign page may call itself by a name that leads to this machine."""
    assert ask("/secret/", "elsewhere.example").status == 403


def test_a_browser_that_breaks_off_is_no_mistake_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "viewer").mkdir()
    with (tmp_path / "viewer/case0.js").open("wb") as large:
        large.truncate(64_000_000)
    with serving.server(tmp_path, "secret") as running:
        ended, end = Event(), running.shutdown_request

        def noticed(request: object) -> None:
            end(request)  # type: ignore[arg-type]
            ended.set()

        monkeypatch.setattr(running, "shutdown_request", noticed)
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with socket.create_connection(("127.0.0.1", running.server_address[1])) as client:
            client.sendall(b"GET /secret/viewer/case0.js HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 200")
            # Closed with a reset, as a browser does whose page is left.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert ended.wait(30)
        running.shutdown()
        thread.join()
    assert capsys.readouterr() == ("", "")


def test_other_failures_of_the_server_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving.server(tmp_path, "secret") as running, socket.socket() as request:
        try:
            raise PermissionError("not for you")
        except PermissionError:
            running.handle_error(request, ("127.0.0.1", 1))
    assert "PermissionError: not for you" in capsys.readouterr().err


def test_an_interrupt_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving.ThreadingHTTPServer, "serve_forever", interrupted)
    serving.serve(tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert re.match(r"http://127\.0\.0\.1:\d+/[\w-]{32,}/ ", said[0])
    assert said[1] == "ended"
