import asyncio, io
import httpx, numpy as np
from PIL import Image
from rollcall_client import *
def test_smoke(shared_service, hanks, astronaut, group, collection, tmp_path):
    with Rollcall(shared_service.url) as c:
        print(c, c.health(), c.ready())
        a = c.enroll([hanks, group], name="Tom", collection=collection, metadata={"a": 1})
        print(a.rejected, a.revision)
        i = c.identify(io.BytesIO(hanks), collection=collection)
        print(i.faces[0].candidates, c.revisions.of(collection))
        print(c.identify(Image.open(io.BytesIO(hanks)), collection=collection).faces[0].identified)
        print(c.identify(np.asarray(Image.open(io.BytesIO(hanks)).convert("RGB")), collection=collection).faces[0].identified)
        print(list(c.persons(collection)), list(c.collections(limit=1))[:1])
        print(c.edit_person(a.person.id, name=None))
        print(c.models())
        print(c.delete_person(a.person.id))
        try: c.identify(b"", collection=collection)
        except RollcallError as e: print(repr(e), e.facts, type(e).__mro__)
    async def go():
        async with AsyncRollcall(shared_service.url) as c:
            async for o in c.enroll_many([Enrolment(hanks, collection=collection), Enrolment("/nope"), Enrolment(astronaut, collection=collection)]):
                print(o.index, o.error or o.value().person.id)
            print([p async for p in c.persons(collection, limit=1)])
    asyncio.run(go())
