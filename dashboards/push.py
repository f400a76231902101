"""Dashboards sent to Grafana over its HTTP API.

Invariant: the second push changes nothing; what somebody saves in Grafana between our look and our write is
never overwritten unseen. All failures come out as PushFailed with what to do, and never show the token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Grafana = Any  # grafana-client's GrafanaApi: it carries no types

MISSING = "the package grafana-client is missing: install opsd-hpc[grafana]"
FOLDER_UID = "opsd"
MESSAGE = "opsd dashboards push"
TIMEOUT_SECONDS = 10.0
# Grafana's own bookkeeping: differs on every server and after every save.
_THEIRS = ("id", "version")
_REMEDIES = {
    401: "the token is not accepted: make one for a service account in Grafana and set grafana.token_file",
    403: "the token may not do this: its service account needs the role Editor",
    404: "there is no such thing: is grafana.url the root of a Grafana, with its sub-path if it has one?",
    412: "somebody has saved it meanwhile, or another one has its name: look at it, then push again",
}


class PushFailed(Exception):
    """Grafana did not take something."""


class Change(NamedTuple):
    """What became of one folder or dashboard: created, updated, unchanged."""

    what: str
    done: str


def is_loopback(url: str) -> bool:
    """Whether an address stays on this machine."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # `push` says what is wrong with it
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def push(
    url: str,
    token: str,
    folder: str,
    boards: Mapping[str, dict[str, Any]],
    *,
    dry_run: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> list[Change]:
    """Make the folder and its dashboards what `boards` says.

    Raises:
        PushFailed: Grafana is away, refuses, or is no Grafana.
    """
    grafana = _connect(url, token, timeout_seconds)
    try:
        changes = [_folder(grafana, url, folder, dry_run=dry_run)]
        changes += [_dashboard(grafana, url, uid, board, dry_run=dry_run) for uid, board in boards.items()]
    finally:
        grafana.client.s.close()  # grafana-client leaves its connections open
    return changes


def _connect(url: str, token: str, timeout_seconds: float) -> Grafana:
    try:
        from grafana_client.api import GrafanaApi
    except ModuleNotFoundError as err:
        raise PushFailed(MISSING) from err
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as err:
        raise PushFailed(f"grafana.url {url!r}: {err}: write https://grafana.example.org") from err
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PushFailed(f"grafana.url {url!r}: not an address: write https://grafana.example.org")
    path = parts.path.strip("/")
    return GrafanaApi(
        token,
        host=f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
        port=port,
        protocol=parts.scheme,
        url_path_prefix=f"{path}/" if path else "",
        timeout=timeout_seconds,
    )


def _folder(grafana: Grafana, url: str, title: str, *, dry_run: bool) -> Change:
    what = f"folder {title}"
    with _explained(url, what):
        held = _or_none(lambda: grafana.folder.get_folder(FOLDER_UID))
        if held is None:
            if not dry_run:
                grafana.folder.create_folder(title, uid=FOLDER_UID)
            return Change(what, "created")
        if held["title"] == title:
            return Change(what, "unchanged")
        if not dry_run:
            grafana.folder.update_folder(FOLDER_UID, title=title, version=held["version"])
        return Change(what, "updated")


def _dashboard(grafana: Grafana, url: str, uid: str, board: dict[str, Any], *, dry_run: bool) -> Change:
    what = f"dashboard {board['title']}"
    with _explained(url, what):
        held = _or_none(lambda: grafana.dashboard.get_dashboard(uid))
        if held is not None and _same(held, board):
            return Change(what, "unchanged")
        if not dry_run:
            sent = board if held is None else board | {key: held["dashboard"][key] for key in _THEIRS}
            wrapped = {"dashboard": sent, "folderUid": FOLDER_UID, "message": MESSAGE, "overwrite": False}
            grafana.dashboard.update_dashboard(wrapped)
        return Change(what, "created" if held is None else "updated")


def _same(held: dict[str, Any], board: dict[str, Any]) -> bool:
    theirs = {key: value for key, value in held["dashboard"].items() if key not in _THEIRS}
    ours = {key: value for key, value in board.items() if key not in _THEIRS}
    return theirs == ours and held["meta"].get("folderUid") == FOLDER_UID


def _or_none(ask: Callable[[], object]) -> dict[str, Any] | None:
    """What Grafana holds; None where it says that it holds no such thing."""
    from grafana_client.client import GrafanaClientError

    try:
        found = ask()
    except GrafanaClientError as err:
        # Grafana's own 404 is JSON with a message; a page not found is another server's.
        if err.status_code == 404 and isinstance(err.response, dict) and "message" in err.response:
            return None
        raise
    if not isinstance(found, dict):
        raise PushFailed("it answers, but not as Grafana does: is grafana.url the root of a Grafana?")
    return found


@contextmanager
def _explained(url: str, what: str) -> Iterator[None]:
    """Everything that grafana-client, and the client below it, may raise, in our words."""
    import niquests
    from grafana_client.client import GrafanaException, GrafanaServerError, GrafanaTimeoutError

    try:
        yield
    except PushFailed as err:
        raise PushFailed(f"{url}: {what}: {err}") from err
    except GrafanaTimeoutError as err:
        raise PushFailed(f"{url}: {what}: no answer in time: is Grafana overloaded? Push again") from err
    except GrafanaServerError as err:
        raise PushFailed(f"{url}: {what}: {err.message}: Grafana's log says why; push again") from err
    except GrafanaException as err:
        remedy = _REMEDIES.get(err.status_code, "Grafana's log may say more")
        raise PushFailed(f"{url}: {what}: {err.message} ({err.status_code}): {remedy}") from err
    except niquests.exceptions.ConnectionError as err:
        raise PushFailed(f"{url}: {what}: cannot be reached: is Grafana up, and the address right?") from err
    except (niquests.exceptions.RequestException, ValueError, KeyError) as err:
        raise PushFailed(
            f"{url}: {what}: an answer that is not Grafana's ({type(err).__name__}): is grafana.url the root?"
        ) from err
