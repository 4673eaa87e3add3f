"""The disk says that it did not keep what it was given."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.embedded import EmbeddedPostgres
from tests.service import Service
from tests.traffic import recovers, refused_in_time, through_faults

# In front of the C library: a sync fails with EIO while the file of FAULTY_DISK is there.
_LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int broken(void) {
    const char *trigger = getenv("FAULTY_DISK");
    return trigger && access(trigger, F_OK) == 0;
}
#define SYNC(name) \\
    int name(int file) { \\
        static int (*real)(int); \\
        if (!real) real = dlsym(RTLD_NEXT, #name); \\
        if (broken()) { errno = EIO; return -1; } \\
        return real(file); \\
    }
SYNC(fsync)
SYNC(fdatasync)
"""


@pytest.fixture
def faulty_disk() -> Iterator[tuple[Path, dict[str, str]]]:
    """The file that breaks the disk while it is there, and the environment that makes it so."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here (cc), which the faulty disk is made with")
    folder = Path(tempfile.mkdtemp(prefix="rollcall-test-disk-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    (folder / "disk.c").write_text(_LIBRARY)
    library = folder / "disk.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, folder / "disk.c", "-ldl"], check=True
    )
    trigger = folder / "broken"
    yield trigger, {"LD_PRELOAD": str(library), "FAULTY_DISK": str(trigger)}
    shutil.rmtree(folder)


@pytest.mark.long
def test_a_sync_that_fails_acknowledges_nothing_and_passes(
    faulty_disk: tuple[Path, dict[str, str]], tiny_pack: Path, tmp_path: Path, hanks: bytes
) -> None:
    trigger, environment = faulty_disk
    service = Service(
        {
            "ROLLCALL_PACK": str(tiny_pack),
            "ROLLCALL_DATA_DIR": str(tmp_path / "data"),
            "ROLLCALL_DEADLINE": "5",
            "ROLLCALL_SNAPSHOT_INTERVAL": "0.5",
            **environment,
        }
    )
    postgres = EmbeddedPostgres(tmp_path / "data" / "postgres")
    try:
        service.wait_until_ready()
        with through_faults(service, hanks, postgres.url) as traffic:
            refused_in_time(traffic, trigger.touch)
            log = (postgres.folder / "log").read_text()
            assert "PANIC:  could not fdatasync" in log or "PANIC:  could not fsync" in log, log
            trigger.unlink()
            recovers(traffic)
        assert service.terminate() == 0
    finally:
        trigger.unlink(missing_ok=True)
        service.kill()
