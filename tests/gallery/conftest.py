"""What tests of the compiled kernels share."""

from collections.abc import Iterator

import pytest

from app.gallery import compiled


@pytest.fixture(params=["AVX2", "portable"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both ways that the kernels can go; the portable one is any processor's."""
    fast = compiled.use_processor_features(request.param == "AVX2")
    if request.param == "AVX2" and not fast:
        pytest.skip("this processor has no AVX2")
    yield
    compiled.use_processor_features(True)
