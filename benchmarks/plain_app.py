"""Face identification as many write it: a FastAPI route, FaceAnalysis and IndexFlatIP.

    PLAIN_PACK=FOLDER PLAIN_PEOPLE=FILE.json uvicorn benchmarks.plain_app:app --workers 1

A rival for benchmarks.plain_route and no part of the service: no limits, no refusals of hostile
pictures, no audit, no deletes, no names in a database. PLAIN_PEOPLE maps names to pictures.
"""

import json
import os
from pathlib import Path

import cv2
import faiss
import numpy as np
from fastapi import FastAPI, File, UploadFile
from insightface.app import FaceAnalysis

analysis = FaceAnalysis(name=os.environ["PLAIN_PACK"], providers=["CPUExecutionProvider"])
analysis.prepare(ctx_id=0, det_size=(640, 640))


def embed(data: bytes):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    faces = analysis.get(image)
    if not faces:
        return None
    face = max(faces, key=lambda f: (f.bbox[2] - f.bbox[0]) * (f.bbox[3] - f.bbox[1]))
    return face.normed_embedding.astype(np.float32)


names: list[str] = []
rows = []
for name, picture in json.loads(Path(os.environ["PLAIN_PEOPLE"]).read_text()).items():
    embedding = embed(Path(picture).read_bytes())
    if embedding is not None:
        names.append(name)
        rows.append(embedding)
index = faiss.IndexFlatIP(len(rows[0]))
index.add(np.stack(rows))

app = FastAPI()


@app.post("/identify")
def identify(image: UploadFile = File(...), top_k: int = 5) -> dict:  # noqa: B008
    embedding = embed(image.file.read())
    if embedding is None:
        return {"candidates": []}
    scores, found = index.search(embedding[None], top_k)
    return {
        "candidates": [
            {"name": names[i], "similarity": float(s)}
            for s, i in zip(scores[0], found[0], strict=True)
        ]
    }
