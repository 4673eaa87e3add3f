"""What a GPU makes of it: images and embeddings a second, and searches in ten million templates.

    python -m benchmarks.gpu [--rows 10000000] [--quick]

For a machine with an NVIDIA GPU and the environment of locks/gpu.txt (docs/gpu.md). Without one it
says so and ends with status 3. What it leaves out, it names in its notes. The recognizers are an
IResNet-50 with random weights, which is good enough for speed, and the default pack's.
"""

import asyncio
import ctypes
import hashlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.settings import Settings
from app.types import ImageLimits
from benchmarks.load import Generator
from benchmarks.local import own_process
from benchmarks.random_iresnet import DIMENSION, write_iresnet
from benchmarks.report import Report, options

NO_GPU: Final = 3
TOP: Final = 5
BATCH: Final = 64
QUERIES: Final = 4096
CLIENTS: Final = 64


def missing() -> str | None:
    """What is not here of all that this needs; None where everything is."""
    import faiss
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "this ONNX Runtime has no CUDA (install locks/gpu.txt)"
    if not hasattr(faiss, "StandardGpuResources"):
        return "this FAISS has no GPU support (install locks/gpu.txt)"
    return None if faiss.get_num_gpus() else "FAISS sees no GPU (look at nvidia-smi)"


def device() -> str:
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown: nvidia-smi does not answer"


def seconds_of(call: Callable[[], object], times: int) -> float:
    """The median of `times` calls, after two that are not counted."""
    taken = []
    for number in range(times + 2):
        begin = time.perf_counter()
        call()
        if number >= 2:
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def copy_bandwidth() -> float:
    """Bytes a second of a copy on the device, read and written bytes both counted."""
    folder = find_spec("nvidia.cuda_runtime")
    places = list(folder.submodule_search_locations or ()) if folder else []
    library = next((str(f) for p in places for f in Path(p).glob("lib/libcudart.so*")), None)
    cuda = ctypes.CDLL(library or "libcudart.so.12")
    size, pointers = 2 << 30, [ctypes.c_void_p(), ctypes.c_void_p()]

    def checked(status: int) -> None:
        if status:
            raise SystemExit(f"CUDA refused to copy (error {status}).")

    for pointer in pointers:
        checked(cuda.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)))

    def copy() -> None:
        checked(cuda.cudaMemcpy(pointers[0], pointers[1], ctypes.c_size_t(size), 3))
        checked(cuda.cudaDeviceSynchronize())

    taken = seconds_of(copy, 9)
    for pointer in pointers:
        checked(cuda.cudaFree(pointer))
    return 2 * size / taken


def search(report: Report, rows: int, times: int) -> None:
    """FAISS's flat index in float16 as it comes, which is what the service searches through."""
    import faiss

    bandwidth = copy_bandwidth()
    resources = faiss.StandardGpuResources()
    config = faiss.GpuIndexFlatConfig()
    config.useFloat16 = True
    index = faiss.GpuIndexFlatIP(resources, DIMENSION, config)
    random = np.random.default_rng(1)
    while index.ntotal < rows:
        index.add(_unit(random, min(250_000, rows - index.ntotal)))
    probes = _unit(random, QUERIES)
    one = seconds_of(lambda: index.search(probes[:1], TOP), times)
    many = seconds_of(lambda: index.search(probes, TOP), max(3, times // 10))
    # A search reads the rows once; a copy moves each byte twice.
    least = rows * DIMENSION * 2 / bandwidth
    about = f"faiss-gpu flat float16, {rows:,} x {DIMENSION}"
    report.rows += [
        _row(f"{about}: one query", one * 1e3, "ms"),
        _row(f"{about}: batch of {QUERIES}", QUERIES / many, "queries/s"),
        _row("copy on the device, read and written", bandwidth / 1e9, "GB/s"),
    ]
    _goal(
        report, "one query, by bytes / copy bandwidth", "<= 1.25", one / least, one <= 1.25 * least
    )
    batched = QUERIES / many
    _goal(report, "batched, queries/s", ">= 20,000", batched, batched >= 20_000)


def embeddings(report: Report, folder: Path, times: int) -> None:
    """The bare session, and the service's own way to it, in the same batches."""
    from app.vision.session import open_session

    crops = np.random.default_rng(2).random((BATCH, 3, 112, 112), dtype=np.float32)
    for half in (False, True):
        name = "fp16" if half else "fp32"
        pack = write_pack(folder / f"iresnet50-{name}", half=half)
        session = open_session(pack / "recognizer.onnx", "cuda")
        bare = BATCH / bare_seconds(session, crops, times)
        del session
        ours = asyncio.run(through_vision(pack, times))
        report.rows += [
            _row(f"IResNet-50 {name}, bare session, batch {BATCH}", bare, "embeddings/s"),
            _row(f"IResNet-50 {name}, through the service", ours, "embeddings/s"),
        ]
        _goal(report, f"IResNet-50 {name}: service by bare session", "", ours / bare, True)


def bare_seconds(session: Any, crops: Any, times: int) -> float:
    """Of a run of the session on `crops`, with the way to the device and back."""
    bound = session.io_binding()
    bound.bind_cpu_input("crops", crops)
    bound.bind_output("embeddings", "cpu")
    return seconds_of(lambda: session.run_with_iobinding(bound), times)


async def through_vision(pack: Path, times: int) -> float:
    """Embeddings a second of crops that many callers hand in one by one."""
    from app.vision.opening import Opening, open_visions

    how = Opening(
        device="cuda",
        limits=ImageLimits(),
        seconds=60.0,
        workers=4,
        embed_batch=BATCH,
        depth=4 * BATCH,
        patience=60.0,
        deadline=60.0,
    )
    crop = np.random.default_rng(3).integers(0, 256, (112, 112, 3), dtype=np.uint8)

    async with open_visions([pack], how) as [vision]:

        async def caller(count: int) -> None:
            for _ in range(count):
                await vision.embed([crop])

        await caller(2)
        begin = time.perf_counter()
        await asyncio.gather(*(caller(times) for _ in range(2 * BATCH)))
        return 2 * BATCH * times / (time.perf_counter() - begin)


def http(report: Report, pack: str, picture: Path, seconds: float) -> None:
    """/embeddings of a photo with six faces: every stage but the search."""
    with own_process(pack, ROLLCALL_DEVICE="cuda", ROLLCALL_QUEUE_SECONDS="30") as own:
        with Generator(own.url, "/embeddings", [picture]) as generator:
            generator.closed(CLIENTS, seconds)
            heard = generator.closed(CLIENTS, seconds)
    about = f"{Path(pack).name} over HTTP, {CLIENTS} clients, {picture.name}"
    report.rows.append(_row(about, heard.rate, "images/s"))


def write_pack(folder: Path, *, half: bool) -> Path:
    """The default pack's detector with a random IResNet-50."""
    folder.mkdir()
    default = Settings().packs_dir / "starter" / "pack.json"
    manifest: dict[str, Any] = json.loads(default.read_text(encoding="utf-8"))
    file = write_iresnet(folder / "recognizer.onnx", half=half)
    manifest.pop("calibration_sha256", None)
    manifest["name"] = folder.name
    manifest["recognizer"].update(
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(), input="crops", dimension=DIMENSION
    )
    (folder / "pack.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def photo() -> Path:
    """Six people, from InsightFace's wheel."""
    spec = find_spec("insightface")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("insightface is not installed.")
    return Path(spec.submodule_search_locations[0], "data", "images", "t1.jpg")


def _unit(random: np.random.Generator, count: int) -> Any:
    rows = random.standard_normal((count, DIMENSION), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _row(what: str, figure: float, unit: str) -> dict[str, Any]:
    return {"what": what, "figure": round(figure, 2), "unit": unit}


def _goal(report: Report, what: str, aim: str, figure: float, met: bool) -> None:
    report.goal(what, aim=aim or "(no aim)", figure=round(figure, 3), met=met)


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--rows", type=int, default=10_000_000, help="templates to search")
    asked = root.parse_args()
    # As Ctrl-C does: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    reason = missing()
    if reason is not None:
        print(f"Nothing was run: {reason}.", file=sys.stderr)
        raise SystemExit(NO_GPU)
    times = 10 if asked.quick else 100
    report = Report("gpu", "What does a GPU make of it?", about={"device": device()})
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as made:
        folder = Path(made)
        embeddings(report, folder, times)
        for pack in (str(folder / "iresnet50-fp16"), str(folder / "iresnet50-fp32"), "starter"):
            http(report, pack, photo(), 3.0 if asked.quick else 15.0)
    search(report, 1_000_000 if asked.quick else asked.rows, times)
    report.notes += [
        "int8 was not run: FAISS has no flat int8 index for GPUs, and the service none of its own",
        "TensorRT and CUDA graphs were not run: the service does not use them",
        "the service's own kernel keeps float32 blocks on the GPU: twice the bytes of this float16",
    ]
    report.save(asked.out)


if __name__ == "__main__":
    main()
