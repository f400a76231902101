"""`opsd dashboards build|push`: Grafana dashboards, Prometheus rules and configurations."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opsd.cli.context import note, warn
from opsd.config import settings
from opsd.core.errors import OpsdError, WrongUsage

if TYPE_CHECKING:
    from dashboards.push import Change

FOLDER = "opsd-dashboards"
_WRITES = ("created", "updated", "removed")


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = verbs.add_parser("build", help="write dashboards, rules and configurations", allow_abbrev=False)
    build.add_argument("--to", metavar="DIR", default=FOLDER, help=f"where to (default: {FOLDER})")
    build.add_argument("--grafana", metavar="URL", default="", help="Grafana's address, for links in alerts")
    build.add_argument("--runbook", metavar="URL", help="where docs/runbook.md is shown, for links in alerts")
    push = verbs.add_parser("push", help="send the dashboards to Grafana", allow_abbrev=False)
    push.add_argument("--dry-run", action="store_true", help="only say what would change, and show it")
    push.add_argument(
        "--prometheus", metavar="URL", help="where Grafana finds Prometheus: makes and keeps the data source"
    )
    push.add_argument(
        "--prune", action="store_true", help="remove dashboards that opsd once made and makes no longer"
    )


def run(args: Namespace) -> int:
    """Build or push."""
    return _build(args) if args.action == "build" else _push(args)


def _build(args: Namespace) -> int:
    from dashboards import build
    from dashboards.configuration import Site

    for option, url in (("--grafana", args.grafana), ("--runbook", args.runbook)):
        _prove_address(option, url)
    default = Site()
    site = Site(grafana=args.grafana.rstrip("/"), runbook=args.runbook or default.runbook)
    folder = Path(args.to)
    try:
        written = build.build(folder, site)
    except build.BuildFailed as err:
        raise OpsdError(str(err)) from err
    for path in written:
        print(path.relative_to(folder).as_posix())
    note(f"{len(written)} files in {folder}")
    for path in build.left_over(folder, written):
        warn(f"{path}: this version does not make it, and Grafana shows it all the same: remove it")
    return 0


def _prove_address(what: str, url: str | None) -> None:
    """Something is put behind it, or asked there: without its scheme it would lead nowhere."""
    if not url:
        return
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket alone
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise WrongUsage(
            f"{what} {url!r}: not an address: write https://HOST/PATH, with nothing behind the path"
        )


def _push(args: Namespace) -> int:
    from dashboards import build, push

    grafana = settings(args.db, args.config).grafana
    if not grafana.url or not grafana.token:
        missing = "url" if not grafana.url else "token (or token_file)"
        raise WrongUsage(
            f"dashboards push: [grafana] {missing} is not set in the configuration: see --config"
        )
    if not grafana.folder.strip():
        raise WrongUsage("dashboards push: grafana.folder is empty: write its title, such as opsd")
    prometheus = args.prometheus or grafana.prometheus
    _prove_address("--prometheus" if args.prometheus else "grafana.prometheus", prometheus)
    if grafana.url.startswith("http://") and not push.is_loopback(grafana.url):
        warn(f"the token goes to {grafana.url} unencrypted: use https")
    try:
        changes = push.push(
            grafana.url, grafana.token, grafana.folder, build.boards(),
            prometheus=prometheus, prune=args.prune, ca_file=grafana.ca_file,
            dry_run=args.dry_run, tell=_tell,
        )  # fmt: skip
    except (build.BuildFailed, push.PushFailed) as err:
        raise OpsdError(str(err)) from err
    for change in changes:
        would = "would be " if args.dry_run and change.done in _WRITES else ""
        hint = ": --prune removes it" if change.done == "left over" else ""
        print(f"{change.what} {would}{change.done}{hint}")
    return 0


def _tell(change: Change) -> None:
    """What is overwritten, before it is."""
    if change.lines:
        print(f"{change.what}: what goes (-) and what comes (+)")
        for line in change.lines:
            print(f"  {line}")
