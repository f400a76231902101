"""The portal's pages: the overview, the same as JSON, report files, and what is said when there is none.

Invariant: a request only reads; what fails is said on the page in words and in the log in full.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from opsd import __version__, reports
from opsd.core.dossier import Digests
from opsd.core.errors import BadInput, Refused, StoreError, WrongUsage
from opsd.pipeline import program, report
from opsd.store.engine import Store
from opsd.web import api, overview
from opsd.web.files import ENGLISH, Choice, files
from opsd.web.guard import App, Guard
from opsd.web.overview import Month, Overview
from opsd.web.page import Page, page
from opsd.web.recent import Recent

_HERE = Path(__file__).parent
_FRESH_SECONDS = 15
_KEPT_MONTHS = 24
_RETRY_SECONDS = "10"
_AS: str = Query("", alias="as")  # `reported` or `known`
_log = logging.getLogger(__name__)

Found = tuple[Overview, Page]


class Trouble(NamedTuple):
    """What is said instead of a page."""

    status: int
    title: str
    text: str


_UNKNOWN = Trouble(404, "There is no such page", "The address leads nowhere. The overview is one step away.")
_BROKEN = Trouble(
    500,
    "Something went wrong here",
    "The page could not be made. The log says why; please report it.",
)
_AWAY = Trouble(
    503,
    "The database does not answer",
    "Nothing is lost. Once it is back, so is this page: try again in a moment. The log says more.",
)


def application(store: Store, clock: Callable[[], float], configuration: str = "") -> App:
    """The portal of a database, behind its guard.

    Args:
        configuration: a digest of the settings, which stands in reports.
    """
    portal = _Portal(store, clock, configuration)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    for path, answer in (
        ("/", portal.overview),
        ("/api/overview", portal.api),
        ("/report/{name}", portal.report),
        ("/healthz", portal.health),
    ):
        app.add_api_route(path, answer, methods=["GET", "HEAD"], response_model=None)
    app.mount("/static", StaticFiles(directory=_HERE / "static"))
    app.add_exception_handler(HTTPException, portal.no_page)
    app.add_exception_handler(StoreError, portal.away)
    for kind in (BadInput, WrongUsage, Refused):
        app.add_exception_handler(kind, portal.bad_request)
    app.add_exception_handler(Exception, portal.broken)
    return Guard(app)


def _refuse_others(request: Request) -> None:
    """Whoever asks for a part must not be handed the whole: what is not understood is not passed over."""
    for name in request.query_params:
        if name not in ("locale", "as"):
            raise WrongUsage(f"{name}: no such choice here; opsd report writes parts and other editions")


class _Portal:
    """What is behind the addresses. Plain functions, so that each works in a thread of its own."""

    def __init__(self, store: Store, clock: Callable[[], float], configuration: str) -> None:
        self._digests = Digests(configuration=configuration, program=program.digest())
        self._store = store
        self._clock = clock
        self._recent: Recent[Month | None, Found] = Recent(
            self._look, seconds=_FRESH_SECONDS, most=_KEPT_MONTHS, clock=time.monotonic
        )
        pages = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        pages.globals.update(version=__version__)
        self._overview_page = pages.get_template("overview.html")
        self._trouble_page = pages.get_template("trouble.html")

    def _look(self, month: Month | None) -> Found:
        with self._store.read() as connection:
            found = overview.run(connection, month, now=int(self._clock()))
        return found, page(found)

    def overview(self, month: str = "", locale: str = ENGLISH, standing: str = _AS) -> Response:
        """One month at a glance; the present one where none is named."""
        choice = Choice.of(locale, standing)
        found, shown = self._recent.get(_asked(month))
        offered = files(shown.month, found.edition, choice, found.tz, running=found.running)
        return HTMLResponse(self._overview_page.render(page=shown, files=offered))

    def api(self, month: str = "") -> Response:
        """The same, exact."""
        found, _ = self._recent.get(_asked(month))
        return JSONResponse(api.overview(found))

    def report(self, request: Request, name: str, locale: str = ENGLISH, standing: str = _AS) -> Response:
        """`2026-10.xlsx`: a month's report as a file; of a closed one as it was closed."""
        _refuse_others(request)
        text, _, form = name.rpartition(".")
        month, choice = overview.parse_month(text), Choice.of(locale, standing)
        kind = reports.find(form).content_type
        with self._store.read() as connection:
            found = report.run(
                connection, str(month), now=int(self._clock()), standing=choice.standing or None,
                digests=self._digests,
            )  # fmt: skip
            name = reports.file_name(found, form, choice.language)
            content = report.frozen(connection, found, name)
        if content is None:
            content = reports.render(found, form, choice.language)
        disposition = f'attachment; filename="{name}"'
        return Response(content, headers={"content-disposition": disposition}, media_type=kind)

    def health(self) -> Response:
        """Whether this process answers."""
        return PlainTextResponse("ok\n")

    # --------------------------------------------------------------------------------- when there is no page

    async def no_page(self, request: Request, error: Exception) -> Response:
        """An address that leads nowhere."""
        status = error.status_code if isinstance(error, HTTPException) else _UNKNOWN.status
        return self._say(request, _UNKNOWN._replace(status=status))

    async def bad_request(self, request: Request, error: Exception) -> Response:
        """Something asked for that cannot be."""
        return self._say(request, Trouble(400, "That cannot be shown", f"{error}."))

    async def away(self, request: Request, error: Exception) -> Response:
        """A database that cannot be read now; the next look opens it anew."""
        _log.warning("%s: %s", request.url.path, error)
        self._store.close()
        answer = self._say(request, _AWAY)
        answer.headers["retry-after"] = _RETRY_SECONDS
        return answer

    async def broken(self, request: Request, _error: Exception) -> Response:
        """A bug: the server logs it."""
        return self._say(request, _BROKEN)

    def _say(self, request: Request, trouble: Trouble) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": trouble.title, "detail": trouble.text}, trouble.status)
        return HTMLResponse(self._trouble_page.render(trouble=trouble), trouble.status)


def _asked(month: str) -> Month | None:
    return overview.parse_month(month) if month else None
