"""A service whose model files are not what its pack promises does not start, and says which."""

from pathlib import Path

import pytest

from app.vision.pack import hash_file
from tests.system.test_start import run
from tests.tiny_pack import write_tiny_calibration, write_tiny_pack


@pytest.mark.parametrize("name", ["recognizer.onnx", "calibration.json"])
def test_a_flipped_bit_in_a_model_file_stops_the_start(tmp_path: Path, name: str) -> None:
    pack = write_tiny_pack(tmp_path / "pack")
    calibration = write_tiny_calibration(pack)
    manifest = pack / "pack.json"
    promise = f'{{"calibration_sha256": "{hash_file(calibration)}",'
    manifest.write_text(manifest.read_text().replace("{", promise, 1))
    content = bytearray((pack / name).read_bytes())
    content[len(content) // 2] ^= 1
    (pack / name).write_bytes(content)
    refused = run(
        "serve",
        ROLLCALL_PACK=str(pack),
        ROLLCALL_DATA_DIR=str(tmp_path / "data"),
        ROLLCALL_PORT="0",
    )
    assert refused.returncode == 1
    assert "pack_invalid" in refused.stderr
    assert f"{pack / name} has SHA-256" in refused.stderr
