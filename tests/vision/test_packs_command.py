"""`python -m app.packs` from the outside; the network is a server of our own."""

import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from app.packs import main
from tests.tiny_pack import write_tiny_pack


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    folder = tmp_path / "packs"
    write_tiny_pack(folder / "mine")
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server's address and the folder that it serves."""
    root = tmp_path / "site"
    root.mkdir()
    server = HTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", root
    server.shutdown()
    thread.join()
    server.server_close()


def run(packs: Path, *arguments: str) -> int:
    return main(["--packs-dir", str(packs), *arguments])


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def pull(packs: Path, url: str, *more: str) -> int:
    return run(packs, "pull", "theirs", "--url", url, "--accept-non-commercial", *more)


def test_help_helps(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("list", "show", "pull", "non-commercial"))


def test_list_says_what_is_here_and_what_is_not_usable(
    packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(packs, "list") == 0
    assert "no calibration" in capsys.readouterr().out
    (packs / "mine" / "recognizer.onnx").unlink()
    assert run(packs, "list") == 1
    assert "unusable" in capsys.readouterr().out


def test_show_tells_model_licence_and_contract(
    packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(packs, "show", "mine") == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("centerface", "112x112 rgb", "MIT", "calibration"))
    assert run(packs, "show", "yours") == 1
    assert "no pack 'yours'" in capsys.readouterr().err


def test_pull_asks_for_the_terms_first(
    packs: Path, site: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(packs, "pull", "theirs", "--url", site[0] + "/x.zip") == 1
    said = capsys.readouterr()
    assert "NON-COMMERCIAL" in said.out and "--accept-non-commercial" in said.err
    assert not (packs / "theirs").exists()


def test_an_unknown_pack_is_named(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(packs, "pull", "buffalo_xxl", "--accept-non-commercial") == 1
    assert "buffalo_l" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["..", "a/b", "../evil"])
def test_a_name_is_not_a_path(packs: Path, name: str) -> None:
    assert run(packs, "pull", name, "--url", "http://127.0.0.1:9/x") == 1


def test_pull_fetches_a_pack_and_says_twice_what_it_may_be_used_for(
    packs: Path,
    site: tuple[str, Path],
    shared_packs: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, root = site
    small = shared_packs / "insightface-small"
    files = {
        f"deep/{path.name}": path.read_bytes() for path in small.iterdir() if path.suffix == ".onnx"
    }
    (root / "theirs.zip").write_bytes(zipped(files | {"../../evil.txt": b"x", "notes.md": b"x"}))
    assert pull(packs, address + "/theirs.zip") == 0
    said = capsys.readouterr()
    assert said.out.count("NON-COMMERCIAL") == 2
    assert "100%" in said.err
    assert sorted(path.name for path in (packs / "theirs").iterdir()) == [
        "det_500m.onnx",
        "w600k_mbf_deq.onnx",
    ]
    assert sorted(path.name for path in packs.iterdir()) == ["mine", "theirs"]
    assert not list(packs.parent.rglob("evil.txt"))
    assert pull(packs, address + "/theirs.zip") == 1
    assert "already there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped({"readme.txt": b"hello"}), "holds no det_"),
        (zipped({"det_1.onnx": b"x"}), "holds no w600k"),
        (zipped({"det_1.onnx": b"x", "w600k_1.onnx": b"y"}), "no ONNX file"),
        (b"this is no archive", "damaged"),
    ],
)
def test_an_archive_that_is_no_pack_leaves_nothing_behind(
    packs: Path,
    site: tuple[str, Path],
    content: bytes,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, root = site
    (root / "theirs.zip").write_bytes(content)
    assert pull(packs, address + "/theirs.zip") == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in packs.iterdir()] == ["mine"]


def test_a_network_that_fails_is_one_line_and_leaves_nothing_behind(
    packs: Path, site: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for url, message in (
        (site[0] + "/none.zip", "404"),
        ("http://127.0.0.1:9/none.zip", "cannot be reached"),
        ("file:///etc/passwd", "not an http address"),
    ):
        assert pull(packs, url) == 1
        errors = capsys.readouterr().err
        assert message in errors and errors.count("\n") <= 2
        assert [path.name for path in packs.iterdir()] == ["mine"]
