"""A picture longer than its variants' format allows stops no other one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as Pillow

from reel_augment.encoding import LONGEST
from reel_augment.tasks import make_variants
from reel_shared import jobs
from reel_shared.contracts import (
    COLLECT_PICTURES,
    MAKE_VARIANTS,
    CollectPicturesRequest,
    MakeVariantsRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import Image
from reel_shared.ids import new_id
from reel_shared.runner import run_job

pytestmark = pytest.mark.servers


def noise(width):
    pixels = np.random.default_rng(width).integers(0, 256, (16, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("format", LONGEST)
def test_it_is_refused_with_a_reason_and_the_others_get_their_variants(reel, databases, format):
    ids = {}
    with transaction() as session:
        wish = CollectPicturesRequest(label="kiki", provider="urls", urls=["https://example.org/a.png"])
        job_id = jobs.submit(session, COLLECT_PICTURES, wish).id
        for width in (LONGEST[format] + 1, 64):
            file = reel.storage.put_bytes("pictures", noise(width), "image/png", ".png")
            ids[width] = new_id("img")
            session.add(
                Image(
                    id=ids[width], dataset="default", label="kiki", source="web", key=file.key, sha256=file.sha256,
                    media_type=file.media_type, size=file.size, width=width, height=16, phash="0" * 16, job_id=job_id,
                    impossible_variants=["log"],
                )
            )  # fmt: skip
        run_id = jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest(format=format)).id
    run_job(MAKE_VARIANTS, make_variants, run_id)
    with transaction() as session:
        job = jobs.get(session, run_id)
        learnt = {name: session.get_one(Image, name).impossible_variants for name in ids.values()}
        parents = set(session.scalars(sa.select(Image.parent_id).where(Image.parent_id.is_not(None))))
    assert job.error is None, job.error
    assert (job.result["sources"], job.result["refused"]) == (2, {"too-long": 1})
    assert parents == {ids[64]}
    assert learnt == {ids[LONGEST[format] + 1]: ["log"], ids[64]: ["intensity-invert"]}
