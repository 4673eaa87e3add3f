"""The examples of the pages run as they stand, but for address and photos."""

import re
from pathlib import Path

import pytest
from rollcall_client import AsyncRollcall

from tests.service import ROOT, Service

PAGES = ("clients/python/README.md", "docs/clients.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(
    shared_service: Service,
    collection: str,
    hanks: bytes,
    group: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    page: str,
) -> None:
    for name, photo in (("ann.jpg", hanks), ("ann2.jpg", hanks), ("group.jpg", group)):
        (tmp_path / name).write_bytes(photo)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)
    assert blocks
    told = "".join(blocks).replace("http://127.0.0.1:8000", shared_service.url)
    names: dict[str, object] = {}
    exec(told.replace('"crew"', f'"{collection}"'), names)  # noqa: S102 (our own page)
    close = getattr(names["rollcall"], "close")  # noqa: B009 (of an object that a page made)
    close()
    said = capsys.readouterr().out
    assert "Ann" in said
    if page == PAGES[0]:
        assert "True" in said
        assert "No such file" in said
        assert "'similarity': 1.0" in said


def test_the_page_of_the_python_client_names_every_method() -> None:
    page = (ROOT / PAGES[0]).read_text()
    methods = {name for name, each in vars(AsyncRollcall).items() if callable(each)}
    plumbing = {"run", "walk", "aclose"} | {name for name in methods if name.endswith("_page")}
    for name in methods - plumbing:
        assert name.startswith("__") or f"`{name}`" in page, name
