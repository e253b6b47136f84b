"""requests through the proxy. Arguments: the API's base at the proxy, and a step."""

import sys
from concurrent.futures import ThreadPoolExecutor

import requests

base, step = sys.argv[1:]


def get(url):
    answer = requests.get(url, timeout=60)
    answer.raise_for_status()
    return answer.json()


if step == "one":
    get(f"{base}/events?page_size=1")
elif step == "upload":
    answer = requests.post(f"{base}/uploads", data=b"x" * 100_000, timeout=60)
    assert answer.json()["size"] == 100_000, answer.text
elif step == "paging":
    url, seen = f"{base}/events?page_size=10", 0
    while url:
        page = get(url)
        seen, url = seen + len(page["results"]), page["next"]
    assert seen == 25, seen
elif step == "fifty":
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(get, [f"{base}/events"] * 50))
