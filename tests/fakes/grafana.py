"""The few pages of Grafana's HTTP API that a push uses, answering as its documentation says, 11 to 13.

Invariant: it keeps what it is given as Grafana does (ids, versions, folders, secrets), and can be told to
fail.

What differs: 13 keeps dashboards in its newer storage, so a conflict is 409 in that storage's words where it
was 412 before, and what was not said comes back as a default; 12 and 13 tell the folder of what was saved.
Source: Grafana's documentation of its HTTP API, and the error responses of its source (pkg/api/apierrors).
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

TOKEN = "a token for tests"
VERSIONS = (11, 12, 13)


class Grafana:
    """A server on the loopback, in threads; `with` starts and stops it."""

    def __init__(self, root: str = "", version: int = 12, certificates: Path | None = None) -> None:
        self.root = root
        self.version = version
        self.scheme = "https" if certificates else "http"
        self.folders: dict[str, dict[str, Any]] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, str]] = {}  # of data sources, by uid
        self.provisioned: set[str] = set()  # uids of dashboards and data sources that come from files
        self.writes: list[str] = []  # method and path of every request that changes something
        self.fail: tuple[int, str, str] | None = None  # status, content type, body: for every request
        self.fail_writes: tuple[int, str, str] | None = None
        self.redirect = ""  # every request is sent there
        self.delay_seconds = 0.0
        self._server = _Server(self)
        if certificates:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{self.scheme}://127.0.0.1:{self._server.server_address[1]}{self.root}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(  # noqa: C901, PLR0911 (one for each page)
        self, method: str, path: str, token: str, body: dict[str, Any]
    ) -> tuple[int, object]:
        """Status and JSON for a request below `/api`."""
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        if method != "GET":
            self.writes.append(f"{method} {path}")
        parts = urlsplit(path)
        match method, parts.path.strip("/").split("/"):
            case "GET", ["folders", uid]:
                return (200, self.folders[uid]) if uid in self.folders else _missing("folder not found")
            case "POST", ["folders"]:
                self.folders[body["uid"]] = {"uid": body["uid"], "title": body["title"], "version": 1}
                return 200, self.folders[body["uid"]]
            case "PUT", ["folders", uid]:
                return self._rename(uid, body)
            case "GET", ["dashboards", "uid", uid]:
                return (200, self._shown(uid)) if uid in self.boards else _missing("Dashboard not found")
            case "POST", ["dashboards", "db"]:
                return self._save(body)
            case "DELETE", ["dashboards", "uid", uid]:
                return self._delete(uid)
            case "GET", ["search"]:
                return 200, self._search(parse_qs(parts.query))
            case _, ["datasources", *rest]:
                return self._source(method, rest, body)
        return _missing("Not found")

    # -- data sources ----------------------------------------------------------------------------------

    def _source(self, method: str, rest: list[str], body: dict[str, Any]) -> tuple[int, object]:
        uid = rest[1] if rest[:1] == ["uid"] else body.get("uid", "")
        held = self.sources.get(uid)
        if method == "POST":
            if any(body["name"] == one["name"] for one in self.sources.values()):
                return 409, {"message": "data source with the same name already exists"}
            self.sources[uid] = body | {"id": len(self.sources) + 1, "version": 1, "readOnly": False}
        elif held is None:
            return 404, {
                "message": "Data source not found",
                "messageId": "",
                "statusCode": 404,
                "traceID": "",
            }
        elif method == "GET":
            secret = dict.fromkeys(self.secrets.get(uid, {}), True)
            return 200, held | {"secureJsonFields": secret, "readOnly": uid in self.provisioned}
        elif uid in self.provisioned:
            return 403, {"message": "Cannot update read-only data source"}
        elif body.get("version", held["version"]) != held["version"]:
            message = "Datasource has already been updated by someone else. Please reload and try again"
            return 409, {"message": message}
        else:
            self.secrets.setdefault(uid, {}).update(body.pop("secureJsonData", {}))
            self.sources[uid] = body | {"version": held["version"] + 1}
        return 200, {"datasource": self.sources[uid], "message": "Datasource updated"}

    # -- dashboards ------------------------------------------------------------------------------------

    def _shown(self, uid: str) -> dict[str, Any]:
        """A dashboard as it comes back: by 13 with what it puts where nothing was said."""
        held = self.boards[uid]
        if self.version < 13 or "panels" not in held["dashboard"]:
            return held
        builtin = {"builtIn": 1, "name": "Annotations & Alerts", "type": "dashboard", "enable": True}
        added = {"annotations": {"list": [builtin]}, "preload": False, "weekStart": "", "liveNow": False}
        panels = [panel | {"pluginVersion": "13.2.1"} for panel in held["dashboard"]["panels"]]
        return held | {"dashboard": held["dashboard"] | added | {"panels": panels}}

    def _delete(self, uid: str) -> tuple[int, object]:
        if uid in self.provisioned:
            return 400, {"message": "provisioned dashboard cannot be deleted"}
        if uid not in self.boards:
            return _missing("Dashboard not found")
        title = self.boards.pop(uid)["dashboard"]["title"]
        return 200, {"title": title, "message": f"Dashboard {title} deleted", "uid": uid}

    def _search(self, asked: dict[str, list[str]]) -> list[dict[str, Any]]:
        (folder,), (tag,) = asked["folderUIDs"], asked["tag"]
        return [
            {
                "uid": uid, "title": it["dashboard"]["title"], "tags": it["dashboard"].get("tags", []),
                "type": "dash-db", "folderUid": it["meta"]["folderUid"],
            }
            for uid, it in self.boards.items()
            if it["meta"]["folderUid"] == folder and tag in it["dashboard"].get("tags", [])
        ]  # fmt: skip

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
        if uid in self.provisioned:
            return 400, {"message": "Cannot save provisioned dashboard"}
        if held and not body.get("overwrite") and board.get("version") != held["dashboard"]["version"]:
            return self._conflict(uid)
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        version = held["dashboard"]["version"] + 1 if held else 1
        stored = board | {"id": held["dashboard"]["id"] if held else 17, "version": version}
        self.boards[uid] = {"dashboard": stored, "meta": {"folderUid": body["folderUid"], "version": version}}
        where = {"folderUid": body["folderUid"]} if self.version > 11 else {}
        return 200, {"id": stored["id"], "uid": uid, "status": "success", "version": version} | where

    def _conflict(self, uid: str) -> tuple[int, object]:
        if self.version < 13:
            message = "The dashboard has been changed by someone else"
            return 412, {"message": message, "status": "version-mismatch"}
        resource = f'dashboards.dashboard.grafana.app "{uid}"'
        return 409, {"message": f"Operation cannot be fulfilled on {resource}: the object has been modified"}


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
        if grafana.redirect:
            status, kind, text = 302, "text/html", "<html>please log in</html>"
        elif failing:
            status, kind, text = failing
        elif not self.path.startswith(prefix):
            status, kind, text = 404, "text/html", "<html>not found</html>"
        else:
            path, token = self.path.removeprefix(prefix), self.headers.get("Authorization", "")
            status, answer = grafana.answer(self.command, path, token, body)
            kind, text = "application/json", json.dumps(answer)
        self.send_response(status)
        if grafana.redirect:
            self.send_header("Location", grafana.redirect)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 (http.server looks for these names)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""
