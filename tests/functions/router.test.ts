// deno-lint-ignore-file no-console -- the router's one line of log is what a test looks at
import assert from "node:assert/strict";

import { failure } from "../../supabase/functions/_shared/errors.ts";
import { json, noContent } from "../../supabase/functions/_shared/responses.ts";
import { match, route, router } from "../../supabase/functions/_shared/router.ts";

const answer = router([
  route("POST", "/api/things/special", () => Promise.resolve(json({ special: true }))),
  route("GET", "/api/things/:thing_id", (_, params) => Promise.resolve(json({ thing: params.thing_id }))),
  route("DELETE", "/api/things/:thing_id", () => Promise.resolve(noContent())),
  route("GET", "/api/refuses", () => Promise.reject(failure("invalid_input", "Not like this."))),
  route("GET", "/api/breaks", () => Promise.reject(new Error("https://ada:secret@10.0.0.1/ refused"))),
]);

function ask(method: string, path: string): Promise<Response> {
  return answer(new Request(`http://functions.test${path}`, { method }));
}

Deno.test("a route is found by method and path, its parameters decoded", async () => {
  assert.deepEqual(await (await ask("POST", "/api/things/special")).json(), { special: true });
  assert.deepEqual(await (await ask("GET", "/api/things/a%20b")).json(), { thing: "a b" });
  assert.deepEqual(await (await ask("GET", "/api/things/7/")).json(), { thing: "7" });
  const deleted = await ask("DELETE", "/api/things/7");
  assert.equal(deleted.status, 204);
  assert.equal(await deleted.text(), "");
});

Deno.test("an unknown address is a registered 404", async () => {
  for (
    const path of ["/", "/api", "/api/things", "/api/things/", "/api/things/7/more", "/things/7", "/api/things/%ff"]
  ) {
    const response = await ask("GET", path);
    assert.equal(response.status, 404, path);
    const body = await response.json();
    assert.deepEqual(Object.keys(body), ["code", "message", "details", "hint"]);
    assert.deepEqual([body.code, body.message], ["PT404", "not_found"]);
    assert.ok(!JSON.stringify(body).includes("things"));
  }
});

Deno.test("a method that an address does not take is a registered 405 that names those it takes", async () => {
  const response = await ask("PUT", "/api/things/special");
  assert.equal(response.status, 405);
  assert.equal(response.headers.get("allow"), "POST, GET, DELETE, OPTIONS");
  assert.equal((await response.json()).message, "method_not_allowed");
});

Deno.test("browsers of any origin may call and read", async () => {
  const asked = await ask("OPTIONS", "/api/things/7");
  assert.equal(asked.status, 204);
  assert.equal(asked.headers.get("access-control-allow-origin"), "*");
  assert.equal(asked.headers.get("access-control-allow-methods"), "GET, DELETE, OPTIONS");
  for (const header of ["authorization", "apikey", "content-type", "x-client-info"]) {
    assert.ok(asked.headers.get("access-control-allow-headers")?.includes(header));
  }
  for (const path of ["/api/things/7", "/api/refuses", "/api/nothing"]) {
    const response = await ask("GET", path);
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    assert.equal(response.headers.get("cache-control"), "no-store");
    await response.body?.cancel();
  }
  assert.equal((await ask("OPTIONS", "/api/nothing")).status, 404);
});

Deno.test("a refusal is answered as it is", async () => {
  const response = await ask("GET", "/api/refuses");
  assert.equal(response.status, 422);
  assert.deepEqual(await response.json(), {
    code: "PT422",
    message: "invalid_input",
    details: "Not like this.",
    hint: "Correct the request and send it again.",
  });
});

Deno.test("an unexpected error reveals nothing, neither in the answer nor in the log", async () => {
  const logged: string[] = [];
  const original = console.error;
  console.error = (...values: unknown[]) => logged.push(values.join(" "));
  try {
    const response = await ask("GET", "/api/breaks");
    assert.equal(response.status, 500);
    const text = await response.text();
    assert.equal(JSON.parse(text).message, "internal_error");
    assert.ok(!text.includes("secret") && !text.includes("10.0.0.1"));
  } finally {
    console.error = original;
  }
  assert.deepEqual(logged, ['{"level":"error","event":"unexpected_error","error":"Error"}']);
});

Deno.test("a segment that is no percent-encoding matches nothing", () => {
  assert.equal(match("/api/:name", "/api/%E0%A4%A"), null);
  assert.deepEqual(match("/api/:name", "/api/%E0%A4%85"), { name: "अ" });
});
