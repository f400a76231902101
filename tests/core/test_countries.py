"""Names of countries."""

from __future__ import annotations

from opsd.core import countries


def test_a_country_is_called_by_its_name() -> None:
    """With its code where there is room; without a name, the code alone."""
    assert ("Türkiye", "Türkiye (TR)") == (countries.name("TR"), countries.named("TR"))
    assert ("XK", "XK") == (countries.name("XK"), countries.named("XK"))
