"""What agents of GPU nodes kept of jobs: fetched over HTTP from where Prometheus scrapes them, too.

Invariant: a spool hands over a whole answer or is Unavailable, within the time-out; a record that cannot be
read is told and left out, the others go on.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from collectors.protocol import Spooled, Target
from opsd.core.errors import BadInput, BadText, Unavailable
from opsd.core.measured import Measured, from_json

_LIMIT = 2_000
_MOST_BYTES = 16 * 2**20
_VERSION = 1


def targets(path: Path) -> tuple[Target, ...]:
    """The agents of a file in the form of Prometheus' file_sd, in the order of their addresses.

    Raises:
        BadInput: it is no such file.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise BadInput(f"nodes.file {path}: {err.strerror}: check the path") from err
    except ValueError as err:
        raise BadInput(f"nodes.file {path}: not JSON: {err}") from err
    if not isinstance(tree, list):
        raise BadInput(f'nodes.file {path}: must be a list, such as [{{"targets": ["gpu1:9751"]}}]')
    found: dict[str, Target] = {}
    for place, group in enumerate(tree, start=1):
        for target in _group(path, place, group):
            if found.setdefault(target.address, target) != target:
                raise BadInput(f"nodes.file {path}: {target.address} stands there twice, and differently")
    _require_names(path, found)
    return tuple(found[address] for address in sorted(found))


def _require_names(path: Path, found: Mapping[str, Target]) -> None:
    """How far an agent's spool was fetched stands under its name: two of one name would be one."""
    named: dict[tuple[str, str], str] = {}
    for address, target in sorted(found.items()):
        other = named.setdefault((target.cluster, target.name), address)
        if other != address:
            raise BadInput(
                f"nodes.file {path}: {other} and {address} are both node {target.node}: give each a group"
                " with a label node of its own, or none"
            )


def _group(path: Path, place: int, group: object) -> list[Target]:
    where = f"nodes.file {path}: group {place}"
    if not isinstance(group, dict) or not isinstance(group.get("targets"), list):
        raise BadInput(f"{where}: needs targets, a list of HOST:PORT")
    labels = group.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(text, str) for text in labels.values()):
        raise BadInput(f"{where}: labels must be an object of texts")
    cluster, node = labels.get("cluster", ""), labels.get("node", "")
    for address in group["targets"]:
        if not isinstance(address, str) or not address.rpartition(":")[2].isdecimal() or "/" in address:
            raise BadInput(f"{where}: {address!r}: write HOST:PORT")
    return [Target(address, cluster, node) for address in group["targets"]]


class Agents:
    """The agents of a file, and one client to ask them all."""

    def __init__(
        self,
        file: str,
        *,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        username: str | None = None,
        password: str | None = None,
        timeout_seconds: float = 10,
    ) -> None:
        """Asks nobody yet.

        Args:
            file: see `targets`; read anew by each call of it.
            ca_file: with it agents are asked by https.

        Raises:
            BadInput: a certificate cannot be read, or half of a pair is missing.
        """
        self._file = Path(file)
        self._scheme = "https" if ca_file else "http"
        self._seconds = timeout_seconds
        if bool(username) != bool(password):
            raise BadInput("nodes.username: goes with nodes.password_file: give both or none")
        self._client = httpx2.Client(
            verify=_context(ca_file, cert_file, key_file),
            auth=(username, password) if username and password else None,
            timeout=timeout_seconds,
            follow_redirects=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity"},  # what is small on its way may be large when it is here
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        )

    def targets(self) -> tuple[Target, ...]:
        """Who is asked now.

        Raises:
            BadInput: the file cannot be read.
        """
        return targets(self._file)

    def spool(self, target: Target) -> NodeSpool:
        """One agent's spool."""
        return NodeSpool(self._client, f"{self._scheme}://{target.address}", self._seconds)

    def close(self) -> None:
        """Leave all of them."""
        self._client.close()


def _context(ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext | bool:
    if not ca_file:
        if cert_file or key_file:
            raise BadInput("nodes.cert_file: goes with nodes.ca_file, by which agents are known")
        return True
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file:
            context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ValueError) as err:
        raise BadInput(
            f"nodes.ca_file {ca_file}, cert_file {cert_file}, key_file {key_file}: {err}: each must be PEM"
        ) from err
    return context


class _Patience:
    """Ends a request that takes too long: the client's time-outs are for each piece, be it one byte."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, event: str, found: Mapping[str, Any]) -> None:
        """Told by the client what it does."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = found["return_value"].get_extra_info("socket")
            if self.is_over:
                self._hang_up()

    def _end(self) -> None:
        self.is_over = True
        self._hang_up()

    def _hang_up(self) -> None:
        """Wakes whoever reads; what belongs to TLS stays with that thread."""
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class NodeSpool:
    """One agent."""

    def __init__(self, client: httpx2.Client, url: str, seconds: float) -> None:
        """`seconds`: how long a whole answer may take."""
        self._client, self._url, self._seconds = client, url, seconds

    def fetch(self, spool: str, after: int) -> Spooled:
        """Records after a cursor; all of them if the agent's spool is another than this.

        Raises:
            Unavailable: it does not answer, or not as it should.
        """
        found = self._page(after)
        return found if found.spool == spool or not after else self._page(0)

    def _page(self, after: int) -> Spooled:
        try:
            tree = json.loads(self._body(after))
        except (ValueError, RecursionError) as err:
            raise Unavailable(f"{self._url}/spool: not JSON: {err}") from err
        return self._read(tree)

    def _body(self, after: int) -> bytes:
        """The answer, up to a size and in a time that no agent needs."""
        patience = _Patience(self._seconds)
        late = Unavailable(f"{self._url}/spool: no whole answer in {self._seconds:g} s")
        asked = {"after": after, "limit": _LIMIT}
        try:
            with (
                patience,
                self._client.stream(
                    "GET", f"{self._url}/spool", params=asked, extensions={"trace": patience.watch}
                ) as answer,
            ):
                body = b""
                for piece in answer.iter_raw():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise Unavailable(f"{self._url}/spool: more than {_MOST_BYTES:,} bytes")
        except (httpx2.HTTPError, httpx2.InvalidURL) as err:
            if patience.is_over or isinstance(err, httpx2.TimeoutException):
                raise late from err
            raise Unavailable(f"{self._url}/spool: {str(err) or type(err).__name__}") from err
        if patience.is_over:  # an answer without a length ends where it is cut
            raise late
        if answer.status_code != httpx2.codes.OK:
            said = body[:200].decode("utf-8", "replace").strip()
            raise Unavailable(f"{self._url}/spool: {answer.status_code} {said or answer.reason_phrase}")
        return body

    def _read(self, tree: Any) -> Spooled:  # noqa: ANN401 (whatever the agent sent)
        kinds = {"version": int, "spool": str, "cursor": int, "more": bool, "records": list}
        wrong = [
            name
            for name, kind in kinds.items()
            if not isinstance(tree, dict) or type(tree.get(name)) is not kind
        ]
        if wrong or not tree["spool"] or tree["cursor"] < 0:
            raise Unavailable(f"{self._url}/spool: not a spool's answer: {wrong[0] if wrong else 'spool'}")
        if tree["version"] != _VERSION:
            raise Unavailable(f"{self._url}/spool: version {tree['version']}: this opsd reads {_VERSION}")
        records: list[Measured] = []
        faults: list[str] = []
        for one in tree["records"]:
            try:
                records.append(from_json(one))
            except BadText as err:
                faults.append(str(err))
        return Spooled(tree["spool"], tree["cursor"], records, faults, tree["more"])
