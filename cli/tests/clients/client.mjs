// Node's fetch through the proxy. Arguments: the API's base at the proxy, and a step.
import assert from "node:assert";

const [base, step] = process.argv.slice(2);

async function get(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

if (step === "one") {
  await get(`${base}/events?page_size=1`);
} else if (step === "upload") {
  const answer = await fetch(`${base}/uploads`, { method: "POST", body: "x".repeat(100_000) });
  assert.equal((await answer.json()).size, 100_000);
} else if (step === "paging") {
  let seen = 0;
  for (let url = `${base}/events?page_size=10`; url; ) {
    const page = await get(url);
    seen += page.results.length;
    url = page.next;
  }
  assert.equal(seen, 25);
} else if (step === "fifty") {
  await Promise.all(Array.from({ length: 50 }, () => get(`${base}/events`)));
}
