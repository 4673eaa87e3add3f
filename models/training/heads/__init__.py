"""Losses over embeddings and labels, one per file."""

from collections.abc import Callable
from functools import partial
from typing import Final

from models.training.heads.adacos import AdaCos, AdaCosFixed
from models.training.heads.adaface import AdaFace
from models.training.heads.arcface import ArcFace
from models.training.heads.base import Head
from models.training.heads.combined import Combined
from models.training.heads.cosface import CosFace
from models.training.heads.curricularface import CurricularFace
from models.training.heads.elasticface import ElasticArcFace, ElasticCosFace
from models.training.heads.magface import MagFace
from models.training.heads.normface import NormFace
from models.training.heads.softmax import Softmax
from models.training.heads.sphereface import SphereFace
from models.training.heads.sphereface2 import SphereFace2

# Name to factory: (dimension=, classes=, and the options of that head).
HEADS: Final[dict[str, Callable[..., Head]]] = {
    "softmax": Softmax,
    "normface": NormFace,
    "sphereface": SphereFace,
    "cosface": CosFace,
    "arcface": ArcFace,
    "subcentre-arcface": partial(ArcFace, sub_centres=3),
    "combined": Combined,
    "adacos-fixed": AdaCosFixed,
    "adacos": AdaCos,
    "adaface": AdaFace,
    "magface": MagFace,
    "curricularface": CurricularFace,
    "elasticface-arc": ElasticArcFace,
    "elasticface-cos": ElasticCosFace,
    "sphereface2": SphereFace2,
}
