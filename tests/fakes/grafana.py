"""The few pages of Grafana's HTTP API that a push uses, answering as its documentation says.

Invariant: it keeps what it is given as Grafana does (ids, versions, folders), and can be told to fail.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

TOKEN = "a token for tests"


class Grafana:
    """A server on the loopback, in threads; `with` starts and stops it."""

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.folders: dict[str, dict[str, Any]] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []  # method and path of every request that changes something
        self.fail: tuple[int, str, str] | None = None  # status, content type, body: for every request
        self.fail_writes: tuple[int, str, str] | None = None
        self.delay_seconds = 0.0
        self._server = _Server(self)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{self.root}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(  # noqa: PLR0911 (one for each page)
        self, method: str, path: str, token: str, body: dict[str, Any]
    ) -> tuple[int, object]:
        """Status and JSON for a request below `/api`."""
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        if method != "GET":
            self.writes.append(f"{method} {path}")
        match method, path.strip("/").split("/"):
            case "GET", ["folders", uid]:
                return (200, self.folders[uid]) if uid in self.folders else _missing("folder not found")
            case "POST", ["folders"]:
                self.folders[body["uid"]] = {"uid": body["uid"], "title": body["title"], "version": 1}
                return 200, self.folders[body["uid"]]
            case "PUT", ["folders", uid]:
                return self._rename(uid, body)
            case "GET", ["dashboards", "uid", uid]:
                return (200, self.boards[uid]) if uid in self.boards else _missing("Dashboard not found")
            case "POST", ["dashboards", "db"]:
                return self._save(body)
        return _missing("Not found")

    def _rename(self, uid: str, body: dict[str, Any]) -> tuple[int, object]:
        held = self.folders[uid]
        if body.get("version") != held["version"]:
            return 412, {
                "message": "the folder has been changed by someone else",
                "status": "version-mismatch",
            }
        held |= {"title": body["title"], "version": held["version"] + 1}
        return 200, held

    def _save(self, body: dict[str, Any]) -> tuple[int, object]:
        board, uid = body["dashboard"], body["dashboard"]["uid"]
        held = self.boards.get(uid)
        if held and not body.get("overwrite") and board.get("version") != held["dashboard"]["version"]:
            message = "The dashboard has been changed by someone else"
            return 412, {"message": message, "status": "version-mismatch"}
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        version = held["dashboard"]["version"] + 1 if held else 1
        stored = board | {"id": held["dashboard"]["id"] if held else 17, "version": version}
        self.boards[uid] = {"dashboard": stored, "meta": {"folderUid": body["folderUid"], "version": version}}
        return 200, {"id": stored["id"], "uid": uid, "status": "success", "version": version}


def _missing(message: str) -> tuple[int, object]:
    return 404, {"message": message, "status": "not-found"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, grafana: Grafana) -> None:
        self.grafana = grafana
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write: two small ones cost 40 ms

    def _any(self) -> None:
        grafana = self.server.grafana
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        time.sleep(grafana.delay_seconds)
        failing = grafana.fail or (grafana.fail_writes if self.command != "GET" else None)
        prefix = f"{grafana.root}/api"
        if failing:
            status, kind, text = failing
        elif not self.path.startswith(prefix):
            status, kind, text = 404, "text/html", "<html>not found</html>"
        else:
            path, token = self.path.removeprefix(prefix), self.headers.get("Authorization", "")
            status, answer = grafana.answer(self.command, path, token, body)
            kind, text = "application/json", json.dumps(answer)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())
        self.wfile.flush()

    do_GET = do_POST = do_PUT = _any  # noqa: N815 (http.server looks for these names)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""
