"""What an image breaks in its worker process costs that image, and nothing else."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from structlog.testing import capture_logs

from app import logs
from app.errors import CannotStart, ImageRefused
from app.stages import Stages
from app.types import ImageLimits
from app.vision.crew import Seen
from app.vision.decode import decode
from app.vision.detect import Detector
from app.vision.embed import Recognizer
from app.vision.errors import DecoderUnavailable, ImageBroken, ImageTooLarge, PackInvalid
from app.vision.pack import Pack
from app.vision.sight import Sight
from app.vision.workers import Workers
from tests.hostile import hostile_files
from tests.service import ROOT
from tests.tiny_pack import write_tiny_pack
from tests.waiting import wait_until

# What codecs have to say of broken files.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

FAILING = "tests.vision.failing_worker"
SMALL = ImageLimits(max_pixels=2_000_000)

Use = Callable[[Workers], Awaitable[None]]


@asynccontextmanager
async def opened(pack: Path, **given: Any) -> AsyncIterator[Workers]:
    usual = {"limits": SMALL, "count": 2, "seconds": 60.0, "module": FAILING}
    workers = Workers([pack], **(usual | given))
    try:
        await workers.open()
        yield workers
    finally:
        await workers.close()


@pytest.fixture
def failing(tiny_pack: Path) -> Callable[..., None]:
    """Runs what is given workers that fail as they are asked to."""

    def run(use: Use, **given: Any) -> None:
        async def work() -> None:
            async with opened(tiny_pack, **given) as workers:
                await use(workers)

        asyncio.run(work())

    return run


async def look(workers: Workers, image: bytes, *, embed: bool = True) -> Seen:
    return await workers.look(0, image, 0, Stages(), embed)


async def outcome(looking: Awaitable[Seen]) -> object:
    try:
        return len((await looking).faces)
    except ImageRefused as refusal:
        return type(refusal)


def processes() -> set[int]:
    """The workers of these tests, without the process that they are forked from."""
    children = [each for each in psutil.Process().children() if alive(each)]
    hosts = [each for each in children if FAILING in each.cmdline()]
    return {each.pid for host in hosts for each in host.children() if alive(each)}


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def logged() -> Any:
    logs.configure("warning")
    with capture_logs() as lines:
        yield lines
    logs.configure("error")


class Here:
    def decode(self, data: bytes) -> Any:
        return decode(data, SMALL)

    def decode_at_least(self, data: bytes, side: int) -> Any:
        from app.vision.decode import decode_at_least

        return decode_at_least(data, SMALL, side)


def test_it_sees_the_same_as_this_process(
    failing: Callable[..., None],
    opened_pack: Pack,
    detector: Detector,
    group: bytes,
    small_photo: bytes,
) -> None:
    """Every number of every face, and of refusals class, words and facts."""
    here = Sight(detector, Recognizer(opened_pack.recognizer, "cpu"), Here())

    async def use(workers: Workers) -> None:
        for most in (0, 1, 3):
            stages = Stages()
            there = await workers.look(0, group, most, stages, True)
            expected = here.see(group, most, True, Stages())
            assert set(stages.seconds) == {"decode", "detect", "align", "embed"}
            assert np.array_equal(there.embeddings, expected.embeddings)
            for seen, same in zip(there.faces, expected.faces, strict=True):
                assert (seen.box, seen.score, seen.quality) == (same.box, same.score, same.quality)
                assert seen.frame == same.frame
                assert np.array_equal(seen.landmarks, same.landmarks)
                assert np.array_equal(seen.crop, same.crop)
        crops = np.stack([face.crop for face in there.faces])
        rows, _ = await workers.rows(0, crops.tobytes())
        assert np.array_equal(rows, here.recognizer.raw(crops))
        assert (await look(workers, group, embed=False)).embeddings.shape == (0, 32)
        for each in hostile_files(small_photo)[::7]:
            told = []
            for seeing in (
                look(workers, each.data),
                asyncio.to_thread(here.see, each.data, 0, True, Stages()),
            ):
                try:
                    await seeing
                    told.append(None)
                except ImageRefused as refusal:
                    told.append((type(refusal), refusal.detail, refusal.facts))
            assert told[0] == told[1], each.name
        assert workers.deaths == 0

    failing(use)


@pytest.mark.parametrize(
    "way", ["segfault", "abort", "killed", "exit", "fault", "memory", "nonsense", "fork"]
)
def test_whatever_ends_a_worker_costs_one_image(
    failing: Callable[..., None], group: bytes, way: str
) -> None:
    async def use(workers: Workers) -> None:
        with pytest.raises(ImageTooLarge if way == "memory" else ImageBroken):
            await look(workers, way.encode())
        assert len((await look(workers, group)).faces) == 6
        assert workers.deaths == (0 if way == "memory" else 1)

    failing(use)


def test_who_stands_behind_a_picture_that_ends_its_worker_is_served_all_the_same(
    failing: Callable[..., None], group: bytes
) -> None:
    async def use(workers: Workers) -> None:
        images = [b"segfault" if number % 6 == 0 else group for number in range(12)]
        found = await asyncio.gather(*(outcome(look(workers, each)) for each in images))
        assert found == [ImageBroken if each == b"segfault" else 6 for each in images]
        assert workers.deaths == 2

    failing(use, count=1)


@pytest.mark.parametrize("way", ["compute", "sleep"])
def test_an_endless_picture_is_stopped_by_its_own_clock(
    failing: Callable[..., None], group: bytes, way: str
) -> None:
    async def use(workers: Workers) -> None:
        began = time.monotonic()
        with pytest.raises(ImageBroken, match="within 1 s"):
            await look(workers, way.encode())
        assert time.monotonic() - began < 10
        assert len((await look(workers, group)).faces) == 6

    failing(use, seconds=1.0)


def test_seconds_are_counted_anew_for_each_picture(
    failing: Callable[..., None], group: bytes
) -> None:
    async def use(workers: Workers) -> None:
        for _ in range(5):
            assert len((await look(workers, b"slowly" + group)).faces) == 6

    failing(use, seconds=1.0, count=1)


def test_a_worker_that_stands_still_is_given_up(
    failing: Callable[..., None], group: bytes, logged: list[dict[str, Any]]
) -> None:
    async def use(workers: Workers) -> None:
        await look(workers, group)
        [worker] = processes()
        os.kill(worker, signal.SIGSTOP)
        first, behind = await asyncio.gather(
            outcome(look(workers, group)), outcome(look(workers, group))
        )
        assert (first, behind) == (ImageBroken, 6)
        assert worker not in processes()

    failing(use, seconds=1.0, more=1.0, count=1)
    assert [line["why"] for line in logged] == ["no answer in time"]


def test_a_worker_knows_nothing_and_may_do_little(
    failing: Callable[..., None], group: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_SECRET", "s3cret")
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", "postgresql://user:s3cret@host/name")

    async def use(workers: Workers) -> None:
        await look(workers, group)
        [pid] = processes()
        proc = Path(f"/proc/{pid}")
        names = {
            line.split(b"=")[0] for line in (proc / "environ").read_bytes().split(b"\0") if line
        }
        assert names <= {
            b"PATH",
            b"LANG",
            b"OPENBLAS_NUM_THREADS",
            b"OMP_NUM_THREADS",
            b"ORT_DISABLE_TELEMETRY",
            b"MALLOC_MMAP_THRESHOLD_",
        }
        assert b"s3cret" not in (proc / "cmdline").read_bytes()
        assert (proc / "cwd").readlink() == Path("/")
        files = sorted(str(each.readlink()).split(":")[0] for each in (proc / "fd").iterdir())
        assert files == ["/dev/null", "/dev/null", "/dev/null", "socket"]
        assert "NoNewPrivs:\t1" in (proc / "status").read_text()
        limits = (proc / "limits").read_text()
        for what in ("core file size", "processes"):
            line = next(line for line in limits.splitlines() if line.startswith(f"Max {what}"))
            assert line.removeprefix(f"Max {what}").split()[:2] == ["0", "0"]

    failing(use)


def test_a_worker_that_cannot_give_up_its_rights_sees_no_image(
    tiny_pack: Path, group: bytes, logged: list[dict[str, Any]]
) -> None:
    async def work() -> None:
        async with opened(tiny_pack, module="tests.vision.unbound_worker") as workers:
            with pytest.raises(DecoderUnavailable, match="No process can be started"):
                await look(workers, group)
            assert workers.deaths == 0

    asyncio.run(work())
    assert [line["event"] for line in logged] == ["decoder.not_started"]


def test_a_lost_worker_is_logged_without_content(
    failing: Callable[..., None], logged: list[dict[str, Any]]
) -> None:
    async def use(workers: Workers) -> None:
        for way in (b"segfault", b"fault"):
            with pytest.raises(ImageBroken):
                await look(workers, way)

    failing(use)
    assert [each["event"] for each in logged] == ["decoder.lost"] * 2
    assert logged[0]["why"] == "ended: SIGSEGV"
    assert "ZeroDivisionError" in logged[1]["why"] and "failing_decoder.py:" in logged[1]["why"]
    assert "private" not in str(logged)


def test_a_worker_that_ended_while_idle_costs_nothing(
    failing: Callable[..., None], group: bytes
) -> None:
    async def use(workers: Workers) -> None:
        await look(workers, group)
        [worker] = processes()
        os.kill(worker, signal.SIGKILL)
        await asyncio.sleep(0.2)
        assert len((await look(workers, group)).faces) == 6
        assert workers.deaths == 0

    failing(use)


def test_a_worker_is_replaced_after_so_many_pictures(
    failing: Callable[..., None], group: bytes
) -> None:
    async def use(workers: Workers) -> None:
        seen = []
        for _ in range(4):
            await look(workers, group)
            seen.append(processes())
        assert seen[0] == seen[1] and not seen[1] & seen[2]
        assert workers.deaths == 0

    failing(use, pictures=2)


def test_there_are_never_more_workers_than_were_asked_for(
    failing: Callable[..., None], group: bytes
) -> None:
    async def use(workers: Workers) -> None:
        assert not processes(), "none is there before it is needed"
        await look(workers, group)
        await look(workers, group)
        assert len(processes()) == 1
        await asyncio.gather(*(look(workers, group) for _ in range(12)))
        assert len(processes()) == 3

    failing(use, count=3)


def test_when_the_process_with_the_packs_is_killed_another_is_started(
    failing: Callable[..., None], group: bytes
) -> None:
    async def use(workers: Workers) -> None:
        await look(workers, group)
        [worker] = processes()
        host = psutil.Process(worker).parent()
        assert host is not None and host.num_threads() == 1, "others' locks would be forked too"
        os.kill(worker, signal.SIGSTOP)  # so that the image is under way
        asked = asyncio.create_task(look(workers, group))
        await asyncio.sleep(0.1)
        host.kill()
        with pytest.raises(DecoderUnavailable):
            await asked
        assert len((await look(workers, group)).faces) == 6
        assert workers.deaths == 0
        wait_until(lambda: not psutil.pid_exists(worker), "it outlived what it was forked from")

    failing(use)


def test_a_pack_that_was_changed_behind_the_service_is_not_taken_for_the_one_it_was(
    tiny_pack: Path, tmp_path: Path, group: bytes, logged: list[dict[str, Any]]
) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(tiny_pack, folder)

    async def work() -> None:
        async with opened(folder) as workers:
            await look(workers, group)
            [worker] = processes()
            shutil.rmtree(folder)
            write_tiny_pack(folder, dimension=16)
            host = psutil.Process(worker).parent()
            assert host is not None
            host.kill()
            await asyncio.sleep(0.3)
            with pytest.raises(DecoderUnavailable, match="packs cannot be read"):
                await look(workers, group)

    asyncio.run(work())
    assert "decoder.not_started" in [line["event"] for line in logged]


def test_a_pack_that_cannot_be_read_is_named_at_the_start(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path):
            pass

    with pytest.raises(PackInvalid, match=str(tmp_path)):
        asyncio.run(work())


def test_a_process_that_cannot_be_started_is_said_at_the_start(tiny_pack: Path) -> None:
    async def work() -> None:
        async with opened(tiny_pack, module="app.vision.no_such_module"):
            pass

    with pytest.raises(CannotStart, match="did not start"):
        asyncio.run(work())


def test_workers_end_with_a_service_that_is_killed(tiny_pack: Path) -> None:
    program = (
        "import asyncio, pathlib, psutil\n"
        "from tests.vision.test_workers import look, opened, processes\n"
        "async def work():\n"
        f"    async with opened(pathlib.Path({str(tiny_pack)!r})) as workers:\n"
        "        asked = asyncio.create_task(look(workers, b'sleep'))\n"
        "        while not processes():\n"
        "            await asyncio.sleep(.01)\n"
        "        await asyncio.sleep(.5)\n"
        "        print(*processes(), flush=True)\n"
        "        await asked\n"
        "asyncio.run(work())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        worker = psutil.Process(int(service.stdout.readline()))
        service.kill()
    wait_until(lambda: not alive(worker))


def test_the_library_of_networks_keeps_no_file_in_the_home_of_who_runs_it(tmp_path: Path) -> None:
    program = (
        "import os, app.vision.session\n"
        "at = '/proc/self/fd/'\n"
        "files = [os.path.realpath(at + each) for each in os.listdir(at)]\n"
        "assert not [each for each in files if each.endswith('.db')], files\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
    assert not list(tmp_path.rglob("onnxruntime*"))


def test_the_service_itself_loads_neither_codec_nor_network() -> None:
    program = (
        "import sys, app.main\n"
        "loaded = {'PIL', 'cv2', 'simplejpeg', 'onnx', 'onnxruntime', 'app.vision.decode'}\n"
        "sys.exit(', '.join(loaded & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)
