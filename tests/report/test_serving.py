import http.client
from pathlib import Path
from threading import Thread

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


def test_an_interrupt_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving.ThreadingHTTPServer, "serve_forever", interrupted)
    said: list[str] = []
    serving.serve(tmp_path, said.append)
    assert said[0].startswith("http://127.0.0.1:")
    assert said[1] == "ended"
