"""Whether templates of InsightFace Server are templates of a pack here.

That server binds a collection to a digest over the files of its detector and its recognizer and
over what is done to pictures before them. The same is computed here for a pack: where both are
equal, both are the same files under the same contract, and templates can be compared. Nothing is
believed by a model's name.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from app.commands.sources.insightface_server import Home
from app.vision.pack import Contract, Pack, three

# What that server does before the recognizer; a digest over anything else is another.
_CONTRACT: Final = Contract(mean=three(127.5), std=three(127.5))


def pack_of(home: Home, packs: Sequence[Pack]) -> Pack | None:
    """The pack whose model made the templates of `home`, None where none here did."""
    for pack in packs:
        recognizer = pack.recognizer
        if (
            recognizer.contract == _CONTRACT
            and recognizer.dimension == home.dimension
            and digest_of(pack, home.preprocessing) == home.digest
        ):
            return pack
    return None


def digest_of(pack: Pack, preprocessing: str) -> str:
    """What InsightFace Server would call the files of `pack`: SHA-256 in hex.

    preprocessing: what its manifest says of the recognizer, free text that is part of the digest.
    """
    parts = [
        {
            "sha256": pack.detector.sha256,
            "input_size": [640, 640],
            "input_mean": 127.5,
            "input_std": 128.0,
            "preprocessing_version": "insightface-scrfd-1",
        },
        {
            "sha256": pack.recognizer.sha256,
            "input_size": list(pack.recognizer.contract.size),
            "input_mean": 127.5,
            "input_std": 127.5,
            "preprocessing_version": preprocessing,
        },
    ]
    return sha256(json.dumps(parts, separators=(",", ":"), sort_keys=True).encode()).hexdigest()
