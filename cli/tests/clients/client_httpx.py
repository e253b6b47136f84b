"""httpx through the proxy. Arguments: the API's base at the proxy, and a step."""

import asyncio
import sys

import httpx

base, step = sys.argv[1:]


async def main():
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:

        async def get(url):
            answer = await client.get(url)
            answer.raise_for_status()
            return answer.json()

        async def chunks():
            for _ in range(10):
                yield b"x" * 10_000

        if step == "one":
            await get(f"{base}/events?page_size=1")
        elif step == "upload":
            answer = await client.post(f"{base}/uploads", content=chunks())
            assert answer.json()["size"] == 100_000, answer.text
        elif step == "paging":
            url, seen = f"{base}/events?page_size=10", 0
            while url:
                page = await get(url)
                seen, url = seen + len(page["results"]), page["next"]
            assert seen == 25, seen
        elif step == "fifty":
            await asyncio.gather(*(get(f"{base}/events") for _ in range(50)))


asyncio.run(main())
