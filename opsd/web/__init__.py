"""The portal: pages for finance staff and project leaders, and the same numbers as JSON."""

from opsd.web.server import WebServer

__all__ = ["WebServer"]
