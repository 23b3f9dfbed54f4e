import asyncio,time
import pytest
from tests.gateway import running
async def test_x(database, small):
    t=time.time()
    async with running(database, push_workers=2, feed_workers=2) as g:
        print("ready", time.time()-t)
        e = await g.load(small.registry)
        s = await g.issue(e, ["vl"])
        import aiohttp
        async with aiohttp.ClientSession() as http:
            for r in small.reports[:3]:
                async with http.post(s.url(), json=r["report"], headers=s.headers) as a:
                    print(a.status, await a.text(), a.headers)
        t=time.time()
    print("ended", time.time()-t)
    print("\n".join(g.log))
