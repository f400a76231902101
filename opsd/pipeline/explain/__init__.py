"""From any figure down to what it is made of; one module per command that shows figures."""

from __future__ import annotations
