import http.client
import socket
import struct
from pathlib import Path
from threading import Event, Thread

import pytest

from passion.report import serving


def test_a_folder_is_served_on_the_loopback_interface_only(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("the page")
    (tmp_path / "secret.txt").write_text("secret")
    with serving.server(tmp_path / "page") as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        host, port = running.server_address[:2]
        assert host == "127.0.0.1"

        def ask(path: str, name: str) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", path, headers={"Host": name})
            answer = connection.getresponse()
            return answer.status, answer.read()

        assert ask("/", f"127.0.0.1:{port}") == (200, b"the page")
        assert ask("/../secret.txt", f"localhost:{port}")[0] == 404
        assert ask("/", f"elsewhere.example:{port}")[0] == 403
        running.shutdown()
        thread.join()


def test_a_browser_that_breaks_off_is_no_mistake_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "case0.js").open("wb") as large:
        large.truncate(64_000_000)
    with serving.server(tmp_path) as running:
        ended, end = Event(), running.shutdown_request

        def noticed(request: object) -> None:
            end(request)  # type: ignore[arg-type]
            ended.set()

        monkeypatch.setattr(running, "shutdown_request", noticed)
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with socket.create_connection(("127.0.0.1", running.server_address[1])) as client:
            client.sendall(b"GET /case0.js HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 200")
            # Closed with a reset, as a browser does whose page is left.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert ended.wait(30)
        running.shutdown()
        thread.join()
    assert capsys.readouterr() == ("", "")


def test_other_failures_of_the_server_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving.server(tmp_path) as running, socket.socket() as request:
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
    assert said[0].startswith("http://127.0.0.1:")
    assert said[1] == "ended"
