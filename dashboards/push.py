"""Dashboards, and where their data are, sent to Grafana over its HTTP API.

Invariant: the second push changes nothing; what somebody saves in Grafana between our look and our write is
never overwritten unseen. Only what opsd made is changed. All failures come out as PushFailed with what to do,
and never show the token.

Source: Grafana's documentation of the folder, dashboard, data source and search APIs, 11 to 13.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from dashboards import configuration, difference, uids
from dashboards.uids import DATASOURCE

Grafana = Any  # grafana-client's GrafanaApi: it carries no types

MISSING = "the package grafana-client is missing: install opsd-hpc[grafana]"
FOLDER_UID = uids.FOLDER
MESSAGE = "opsd dashboards push"
TIMEOUT_SECONDS = 10.0
_TAG = "opsd"
_PREFIX = "opsd-"  # of the uids of every dashboard that opsd ever made
_MOST = 5_000  # found by one search
_OURS = ("type", "url", "access")  # of a data source; and the keys of its jsonData that we set
_LOGIN = "is grafana.url the root of a Grafana? A login page or proxy before it must let its API through"
_REMEDIES = {
    401: "the token is not accepted: make one for a service account in Grafana and set grafana.token_file",
    403: "the token may not do this: its service account needs the role {role}",
    404: "there is no such thing: is grafana.url the root of a Grafana, with its sub-path if it has one?",
    409: "somebody has saved it meanwhile, or another one has its name or uid: look at it, then push again",
    412: "somebody has saved it meanwhile, or another one has its name: look at it, then push again",
}
_BY_STATUS = {  # of a body of 412
    "name-exists": "another one has its name or uid: rename that one, then push again",
    "plugin-dashboard": "it belongs to a plugin of Grafana: remove it there, then push again",
}
_BY_WORDS = {
    "provisioned": "Grafana reads it from files: change it there, or take it out of the provisioning",
    "read-only": "Grafana reads it from files: change its url there, or take it out of the provisioning",
}
_WIDEST = 200


class PushFailed(Exception):
    """Grafana did not take something."""


class Change(NamedTuple):
    """What became of a thing in Grafana: created, updated, unchanged, removed, or left over."""

    what: str
    done: str
    lines: tuple[str, ...] = ()  # what is overwritten (-) and by what (+)


class _Step(NamedTuple):
    """What has been looked at, and how to make it so."""

    change: Change
    write: Callable[[], object]


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
    prometheus: str | None = None,
    prune: bool = False,
    ca_file: str | None = None,
    dry_run: bool = False,
    tell: Callable[[Change], None] = lambda _change: None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> list[Change]:
    """Make the folder and its dashboards what `boards` says.

    Args:
        prometheus: where Grafana finds it; None: the data source is left alone.
        prune: whether dashboards that opsd made and makes no longer are removed.
        ca_file: what Grafana's certificate is signed with; None: as the system knows it.
        tell: told of each change after everything was looked at, before anything is written.

    Raises:
        PushFailed: Grafana is away, refuses, or is no Grafana.
    """
    grafana = _connect(url, token, timeout_seconds, ca_file)
    try:
        steps = list(_look(grafana, url, folder, boards, prometheus, prune=prune))
        for step in steps:
            tell(step.change)
        for step in steps if not dry_run else ():
            with _explained(url, step.change.what):
                step.write()
    finally:
        grafana.client.s.close()  # grafana-client leaves its connections open
    return [step.change for step in steps]


def _connect(url: str, token: str, timeout_seconds: float, ca_file: str | None) -> Grafana:
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
    if ca_file is not None and not Path(ca_file).is_file():
        raise PushFailed(f"grafana.ca_file {ca_file}: no such file: check the path")
    path = parts.path.strip("/")
    grafana = GrafanaApi(
        token,
        host=f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
        port=port,
        protocol=parts.scheme,
        url_path_prefix=f"{path}/" if path else "",
        verify=ca_file or True,
        timeout=timeout_seconds,
    )
    grafana.client.s.max_redirects = 0  # Grafana's API sends nobody elsewhere; a login page before it does
    return grafana


def _look(
    grafana: Grafana,
    url: str,
    folder: str,
    boards: Mapping[str, dict[str, Any]],
    prometheus: str | None,
    *,
    prune: bool,
) -> Iterator[_Step]:
    with _explained(url, f"folder {folder}"):
        ours = _folder(grafana, folder)
    yield ours
    if prometheus is not None:
        with _explained(url, f"data source {DATASOURCE}"):
            yield _data_source(grafana, configuration.data_source(prometheus))
    for uid, board in boards.items():
        with _explained(url, f"dashboard {board['title']}"):
            yield _dashboard(grafana, uid, board)
    if ours.change.done == "created":
        return  # nothing is left over in it
    with _explained(url, f"dashboards in folder {folder}"):
        left_over = _left_over(grafana, boards)
    for uid, title in left_over:
        yield _pruned(grafana, uid, title, prune=prune)


def _unchanged() -> None:
    """There is nothing to write."""


def _written(answer: object) -> None:
    """What a write brought: a Grafana answers with an object."""
    if not isinstance(answer, dict):
        raise PushFailed(f"it answers, but not as Grafana does: {_LOGIN}")


def _folder(grafana: Grafana, title: str) -> _Step:
    what = f"folder {title}"
    held = _or_none(lambda: grafana.folder.get_folder(FOLDER_UID))
    if held is None:
        return _Step(
            Change(what, "created"), lambda: _written(grafana.folder.create_folder(title, uid=FOLDER_UID))
        )
    if held["title"] == title:
        return _Step(Change(what, "unchanged"), _unchanged)
    lines = (f"- {held['title']}", f"+ {title}")
    return _Step(
        Change(what, "updated", lines),
        lambda: _written(grafana.folder.update_folder(FOLDER_UID, title=title, version=held.get("version"))),
    )


def _data_source(grafana: Grafana, ours: dict[str, Any]) -> _Step:
    """Ours are its address and how it is asked; a login or anything else that somebody set stays."""
    what = f"data source {ours['name']}"
    held = _or_none(lambda: grafana.datasource.get_datasource_by_uid(DATASOURCE))
    if held is None:
        return _Step(Change(what, "created"), lambda: _written(grafana.datasource.create_datasource(ours)))
    options = held.get("jsonData") or {}
    there = {key: held.get(key) for key in _OURS} | {key: options.get(key) for key in ours["jsonData"]}
    here = {key: ours[key] for key in _OURS} | ours["jsonData"]
    lines = [
        line
        for key in here
        if there[key] != here[key]
        for line in (f"{key}:", f"  - {there[key]}", f"  + {here[key]}")
    ]
    if not lines:
        return _Step(Change(what, "unchanged"), _unchanged)
    sent = held | {key: ours[key] for key in _OURS} | {"jsonData": options | ours["jsonData"]}
    sent.pop("secureJsonFields", None)  # Grafana keeps the secrets that are not sent
    return _Step(
        Change(what, "updated", tuple(lines)),
        lambda: _written(grafana.datasource.update_datasource_by_uid(DATASOURCE, sent)),
    )


def _dashboard(grafana: Grafana, uid: str, board: dict[str, Any]) -> _Step:
    what = f"dashboard {board['title']}"
    held = _or_none(lambda: grafana.dashboard.get_dashboard(uid))
    if held is None:
        return _Step(Change(what, "created"), lambda: _save(grafana, board))
    lines = list(difference.lines(held["dashboard"], board))
    if held["meta"].get("folderUid") != FOLDER_UID:
        where = held["meta"].get("folderTitle") or held["meta"].get("folderUid") or "no folder"
        lines.insert(0, f"moved in Grafana to {where}: comes back")
    if not lines:
        return _Step(Change(what, "unchanged"), _unchanged)
    seen = {"version": held["dashboard"].get("version", held["meta"].get("version"))}
    if held["dashboard"].get("id") is not None:
        seen["id"] = held["dashboard"]["id"]
    return _Step(Change(what, "updated", tuple(lines)), lambda: _save(grafana, board | seen))


def _save(grafana: Grafana, board: dict[str, Any]) -> None:
    wrapped = {"dashboard": board, "folderUid": FOLDER_UID, "message": MESSAGE, "overwrite": False}
    _written(grafana.dashboard.update_dashboard(wrapped))


def _left_over(grafana: Grafana, boards: Mapping[str, object]) -> list[tuple[str, str]]:
    """Dashboards in our folder that bear our tag and a uid of our making, and are made no longer."""
    found = grafana.search.search_dashboards(tag=_TAG, type_="dash-db", folder_uids=FOLDER_UID, limit=_MOST)
    if not isinstance(found, list):
        raise PushFailed(f"it answers, but not as Grafana does: {_LOGIN}")
    return sorted(
        (str(one["uid"]), str(one["title"]))
        for one in found
        if one.get("folderUid") == FOLDER_UID
        and _TAG in (one.get("tags") or ())
        and str(one["uid"]).startswith(_PREFIX)
        and one["uid"] not in boards
    )


def _pruned(grafana: Grafana, uid: str, title: str, *, prune: bool) -> _Step:
    what = f"dashboard {title} ({uid})"
    if not prune:
        return _Step(Change(what, "left over"), _unchanged)
    return _Step(Change(what, "removed"), lambda: _written(grafana.dashboard.delete_dashboard(uid)))


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
        raise PushFailed(f"it answers, but not as Grafana does: {_LOGIN}")
    return found


@contextmanager
def _explained(url: str, what: str) -> Iterator[None]:
    """Everything that grafana-client, and the client below it, may raise, in our words."""
    import niquests
    from grafana_client.client import GrafanaException

    try:
        yield
    except PushFailed as err:
        raise PushFailed(f"{url}: {what}: {err}") from err
    except GrafanaException as err:
        raise PushFailed(f"{url}: {what}: {_refusal(err, what)}") from err
    except niquests.exceptions.TooManyRedirects as err:
        raise PushFailed(f"{url}: {what}: it sends us elsewhere: {_LOGIN}") from err
    except niquests.exceptions.SSLError as err:
        raise PushFailed(
            f"{url}: {what}: its certificate is not trusted: see grafana.url and grafana.ca_file"
        ) from err
    except niquests.exceptions.ConnectionError as err:
        raise PushFailed(f"{url}: {what}: cannot be reached: is Grafana up, and the address right?") from err
    except (niquests.exceptions.RequestException, ValueError, KeyError, TypeError, AttributeError) as err:
        raise PushFailed(
            f"{url}: {what}: an answer that is not Grafana's ({type(err).__name__}): {_LOGIN}"
        ) from err


def _refusal(err: Any, what: str) -> str:  # noqa: ANN401 (a GrafanaException; see Grafana)
    from grafana_client.client import GrafanaServerError, GrafanaTimeoutError

    if isinstance(err, GrafanaTimeoutError):
        return "no answer in time: is Grafana overloaded? Push again"
    body = err.response if isinstance(err.response, dict) else {}
    said = " ".join(str(body.get("message") or err.message).split())
    said = said if len(said) <= _WIDEST else f"{said[: _WIDEST - 1]}…"
    if isinstance(err, GrafanaServerError):
        return f"{said} ({err.status_code}): Grafana's log says why; push again"
    role = "Admin" if what.startswith("data source") else "Editor"
    remedy = _REMEDIES.get(err.status_code, "Grafana's log may say more").format(role=role)
    remedy = _BY_STATUS.get(str(body.get("status")), remedy)
    remedy = next((advice for word, advice in _BY_WORDS.items() if word in said), remedy)
    return f"{said} ({err.status_code}): {remedy}"
