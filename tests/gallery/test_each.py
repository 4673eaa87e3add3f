"""Every template by itself: what a float64 loop over the templates of some persons finds."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gallery.each import each_template
from app.gallery.selection import only
from app.gallery.storage import Storage

from .oracle import TIE, Sample, change, directions, loaded, samples, uuids


@settings(deadline=None, max_examples=60)
@given(
    samples(),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([1, 3, 1000]),
    st.sampled_from([-1.0, 0.5]),
    st.integers(0, 2**32),
)
def test_every_template_is_ranked_by_itself(
    sample: Sample, share: float, top: int, floor: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    gallery = loaded(sample.templates, sample.dimension, sample.block_rows)
    gone = {face for face in sample.templates if generator.random() < 0.2}
    gallery.apply(change(gallery, removed=list(gone)))
    left = {face: each for face, each in sample.templates.items() if face not in gone}
    wanted = {person for person, _ in left.values() if generator.random() <= share}
    for probe in sample.probes:
        cosines = {
            face: float(vector.astype(np.float64) @ probe.astype(np.float64))
            for face, (person, vector) in left.items()
            if person in wanted
        }
        found = each_template(only(gallery.state, wanted), probe, top, floor)
        expected = sorted((c for c in cosines.values() if c >= floor), reverse=True)[:top]
        if any(abs(cosine - floor) <= TIE for cosine in cosines.values()):
            continue  # the two may round to different sides of the floor
        assert [each.similarity for each in found] == pytest.approx(expected, abs=TIE)
        assert len({each.face_id for each in found}) == len(found)
        for each in found:
            assert each.person_id == left[each.face_id][0]
            assert each.similarity == pytest.approx(cosines[each.face_id], abs=TIE)


def test_small_rows_are_scored_as_enrolled(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    persons = uuids(generator, 4)
    vectors = directions(generator, 40, 16)
    templates = {
        face: (persons[at % 4], vectors[at]) for at, face in enumerate(uuids(generator, 40))
    }
    storage = Storage("int8", tmp_path)
    gallery = loaded(templates, 16, 16, storage)
    found = each_template(only(gallery.state, persons[:2]), vectors[0], 40)
    expected = sorted(
        (
            float(v.astype(np.float64) @ vectors[0])
            for p, v in templates.values()
            if p in persons[:2]
        ),
        reverse=True,
    )
    assert [each.similarity for each in found] == pytest.approx(expected, abs=TIE)
