"""The page of performance shows the figures that lie beside it, and no others."""

from benchmarks.tables import PAGE, filled


def test_the_tables_of_the_page_are_those_of_the_figures() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page), "run: python -m benchmarks.tables --write"
