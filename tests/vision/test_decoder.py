"""What an image breaks in its decoder process costs that image, and nothing else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from structlog.testing import capture_logs

from app import logs
from app.errors import ImageRefused
from app.types import Decoded, ImageLimits
from app.vision.decode import decode, decode_at_least
from app.vision.decoder import MODULE, Decoder, TookTooLong, _Process
from app.vision.errors import DecoderUnavailable, ImageBroken, ImageTooLarge
from tests.hostile import hostile_files, save
from tests.service import ROOT
from tests.waiting import wait_until

# What codecs have to say of broken files.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

FAILING = "tests.vision.failing_decoder"
SMALL = ImageLimits(max_pixels=1_000_000)


@pytest.fixture
def failing() -> Iterator[Callable[..., Decoder]]:
    made: list[Decoder] = []

    def make(seconds: float = 60, **options: int) -> Decoder:
        made.append(Decoder(SMALL, seconds=seconds, module=FAILING, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def photo() -> bytes:
    return save(Image.linear_gradient("L").convert("RGB"), "JPEG")


def outcome(decode: Callable[[], np.ndarray]) -> tuple[object, ...]:
    try:
        pixels = decode()
    except ImageRefused as refusal:
        return (type(refusal), refusal.detail, refusal.facts)
    return (pixels.shape, pixels.tobytes())


def resident() -> int:
    """Bytes of memory of this process, less what it shares with others."""
    return psutil.Process().memory_full_info().uss


def processes(module: str = FAILING) -> set[int]:
    """The decoder processes of these tests."""
    return {each.pid for each in psutil.Process().children() if module in each.cmdline()}


@contextmanager
def warnings_logged() -> Iterator[list[dict[str, Any]]]:
    logs.configure("warning")
    try:
        with capture_logs() as lines:
            yield lines
    finally:
        logs.configure("error")


def test_it_says_the_same_as_decoding_in_this_process(decoder: Decoder, small_photo: bytes) -> None:
    """Pixels, and of refusals class, words and facts."""
    limits = ImageLimits()
    for each in hostile_files(small_photo)[::3]:
        assert outcome(partial(decoder.decode, each.data)) == outcome(
            partial(decode, each.data, limits)
        ), each.name
    assert decoder.deaths == 0


@pytest.mark.parametrize(
    "way", ["segfault", "abort", "killed", "exit", "fault", "memory", "nonsense"]
)
def test_whatever_ends_a_process_costs_one_image(
    failing: Callable[..., Decoder], photo: bytes, way: str
) -> None:
    decoder = failing()
    with pytest.raises(ImageTooLarge if way == "memory" else ImageBroken):
        decoder.decode(way.encode())
    assert decoder.decode(photo).shape == (256, 256, 3)
    assert decoder.deaths == (0 if way == "memory" else 1)


def test_others_do_not_notice_that_a_process_crashed(
    failing: Callable[..., Decoder], photo: bytes
) -> None:
    decoder = failing()
    expected = outcome(lambda: decode(photo, SMALL))
    with ThreadPoolExecutor(3) as pool:
        images = [b"segfault" if number % 6 == 0 else photo for number in range(12)]
        outcomes = list(pool.map(lambda data: outcome(lambda: decoder.decode(data)), images))
    for data, got in zip(images, outcomes, strict=True):
        assert got[0] is ImageBroken if data == b"segfault" else got == expected
    assert decoder.deaths == 2


def test_a_memory_bomb_fills_neither_the_service_nor_its_process(
    failing: Callable[..., Decoder], photo: bytes
) -> None:
    decoder = failing()
    decoder.decode(photo)
    [process] = processes()
    before = resident()
    with pytest.raises(ImageTooLarge, match="not enough memory"):
        decoder.decode(b"memory")
    assert resident() - before < 20e6
    # The process was stopped by its limit, lives on and has given everything back.
    assert processes() == {process}
    peak = next(
        int(line.split()[1]) * 1024
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("VmPeak:")
    )
    assert peak < 600e6
    assert psutil.Process(process).memory_info().rss < 100e6


@pytest.mark.parametrize("way", ["compute", "sleep"])
def test_an_endless_picture_is_stopped(
    failing: Callable[..., Decoder], photo: bytes, way: str
) -> None:
    decoder = failing(seconds=1)
    decoder.decode(photo)
    began = time.monotonic()
    with pytest.raises(ImageBroken, match="within 1 s"):
        decoder.decode(way.encode())
    assert time.monotonic() - began < 10
    wait_until(lambda: not processes())
    assert decoder.decode(photo).shape == (256, 256, 3)


def test_a_process_that_computes_too_long_ends_even_if_nobody_stops_it() -> None:
    process = _Process(FAILING, SMALL, 1)
    with pytest.raises(TookTooLong, match="SIGXCPU"):
        process.ask(b"compute", 120, SMALL)


def test_seconds_are_counted_anew_for_each_picture(photo: bytes) -> None:
    """Else an honest process would end after so many seconds of honest work."""
    process = _Process(MODULE, ImageLimits(), 1)
    picture = save(Image.new("RGB", (2000, 1500)), "PNG")
    child = psutil.Process(process._process.pid)
    while sum(child.cpu_times()[:2]) < 2.5:
        assert isinstance(process.ask(picture, 60, ImageLimits()), Decoded)
    process.close()


def test_a_process_knows_nothing_and_may_do_little(
    failing: Callable[..., Decoder], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_SECRET", "s3cret")
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", "postgresql://user:s3cret@host/name")
    decoder = failing()
    with Path(os.devnull).open() as ours:
        os.set_inheritable(ours.fileno(), True)
        decoder.decode(photo)
    [pid] = processes()
    proc = Path(f"/proc/{pid}")
    names = {line.split(b"=")[0] for line in (proc / "environ").read_bytes().split(b"\0") if line}
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
    # Standard input, output and error, the shared memory and the socket.
    open_files = sorted(str(each.readlink()).split(":")[0] for each in (proc / "fd").iterdir())
    assert open_files == ["/dev/null", "/dev/null", "/dev/null", "/memfd", "socket"]
    assert "NoNewPrivs:\t1" in (proc / "status").read_text()
    limits = (proc / "limits").read_text()
    for what in ("core file size", "processes"):
        line = next(line for line in limits.splitlines() if line.startswith(f"Max {what}"))
        assert line.removeprefix(f"Max {what}").split()[:2] == ["0", "0"]


def test_a_process_cannot_start_others(failing: Callable[..., Decoder]) -> None:
    decoder = failing()
    with warnings_logged() as lines, pytest.raises(ImageBroken):
        decoder.decode(b"fork")
    assert "BlockingIOError" in lines[0]["why"]


def test_a_lost_process_is_logged_without_content(failing: Callable[..., Decoder]) -> None:
    decoder = failing()
    with warnings_logged() as lines:
        for way in (b"segfault", b"fault"):
            with pytest.raises(ImageBroken):
                decoder.decode(way)
    assert [each["event"] for each in lines] == ["decoder.lost"] * 2
    assert lines[0]["why"] == "ended: SIGSEGV"
    assert "ZeroDivisionError" in lines[1]["why"] and "failing_decoder.py:" in lines[1]["why"]
    assert "private" not in str(lines)


def test_a_process_that_ended_while_idle_costs_nothing(
    failing: Callable[..., Decoder], photo: bytes
) -> None:
    decoder = failing()
    decoder.decode(photo)
    [process] = processes()
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: psutil.Process(process).status() == psutil.STATUS_ZOMBIE)
    assert decoder.decode(photo).shape == (256, 256, 3)
    assert decoder.deaths == 0


def test_a_process_is_replaced_after_so_many_pictures(
    failing: Callable[..., Decoder], photo: bytes
) -> None:
    decoder = failing(pictures=2)
    seen = []
    for _ in range(3):
        decoder.decode(photo)
        seen.append(processes())
    assert seen[0] and not seen[1] and seen[2]
    assert decoder.deaths == 0


def test_processes_that_cannot_be_started_are_a_fault_of_ours() -> None:
    decoder = Decoder(SMALL, seconds=60, module="app.vision.no_such_module")
    with pytest.raises(DecoderUnavailable, match="No process can be started"):
        decoder.decode(b"image")
    decoder.close()


def test_closing_ends_the_processes(failing: Callable[..., Decoder], photo: bytes) -> None:
    decoder = failing()
    decoder.decode(photo)
    assert processes()
    decoder.close()
    assert not processes()


def test_a_busy_process_ends_with_a_service_that_is_killed(photo: bytes) -> None:
    program = (
        "import psutil, sys, threading\n"
        "from app.types import ImageLimits\n"
        "from app.vision.decoder import Decoder\n"
        f"decoder = Decoder(ImageLimits(), seconds=300, module={FAILING!r})\n"
        "decoder.warm_up()\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "decoder.decode(b'sleep')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        child = psutil.Process(int(service.stdout.readline()))
        time.sleep(0.5)  # by then it has the image; else it would end because it is idle
        service.kill()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_pixels_are_mapped_and_given_back(decoder: Decoder) -> None:
    large = save(Image.new("RGB", (4000, 3000), "red"), "JPEG")
    decoder.decode(large)
    before = psutil.Process().memory_info().rss
    pixels = decoder.decode(large)
    assert not pixels.flags.writeable and pixels.flags.c_contiguous
    assert psutil.Process().memory_info().rss - before > 30e6
    del pixels
    assert psutil.Process().memory_info().rss - before < 10e6
    assert all(psutil.Process(pid).memory_info().rss < 100e6 for pid in processes(MODULE))


def test_a_small_picture_is_a_copy_that_the_next_one_leaves_alone(
    decoder: Decoder, photo: bytes
) -> None:
    first = decoder.decode(photo)
    before = first.copy()
    decoder.decode(save(Image.new("RGB", (256, 256), "red"), "JPEG"))
    assert not first.flags.writeable
    assert np.array_equal(first, before)


def test_a_process_can_neither_shrink_nor_grow_what_it_shares(
    failing: Callable[..., Decoder], photo: bytes
) -> None:
    """The service reads there: memory that is gone would end it."""
    failing().decode(photo)
    [pid] = processes()
    [memory] = [
        each for each in Path(f"/proc/{pid}/fd").iterdir() if "memfd" in str(each.readlink())
    ]
    for size in (0, 1 << 24):
        with pytest.raises(PermissionError):
            os.truncate(memory, size)


@pytest.mark.parametrize("side", [0, 100])
def test_half_a_picture_comes_as_it_is_decoded_here(decoder: Decoder, side: int) -> None:
    large = save(Image.linear_gradient("L").convert("RGB").resize((1400, 1001)), "JPEG")
    here = decode_at_least(large, ImageLimits(), side)
    there = decoder.decode_at_least(large, side)
    assert np.array_equal(there.pixels, here.pixels)
    assert (there.height, there.width) == (1001, 1400)


@pytest.mark.long
@pytest.mark.parametrize(
    ("mode", "kind", "how"),
    [
        ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
        ("CMYK", "JPEG", {"progressive": True}),
        ("RGBA", "PNG", {"compress_level": 1}),
        ("I;16", "PNG", {"compress_level": 1}),
        ("RGBA", "WEBP", {"lossless": True, "quality": 0, "method": 0}),
        ("RGB", "WEBP", {"quality": 50, "method": 0}),
    ],
)
def test_the_largest_picture_has_memory_enough(
    mode: str, kind: str, how: dict[str, object]
) -> None:
    decoder = Decoder(ImageLimits(), seconds=120)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(Image.new(mode, (8000, 6250)), kind, exif=exif, **how)
    assert decoder.decode(data).shape == (8000, 6250, 3)
    decoder.close()
