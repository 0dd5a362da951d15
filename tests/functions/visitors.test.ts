import assert from "node:assert/strict";

import { optionalInteger, requireInstant, requireTexts, requireUuid } from "../../supabase/functions/_shared/body.ts";
import { requireCaptcha } from "../../supabase/functions/_shared/captcha.ts";
import { bringsSession, visitorAddress } from "../../supabase/functions/_shared/upstream.ts";
import { refusal } from "./refusal.ts";

async function assertRefused(call: () => unknown, symbol: string): Promise<void> {
  assert.equal((await refusal(call)).message, symbol);
}

function from(headers: Record<string, string>): Request {
  return new Request("http://functions.test/api/appointments/public", { headers });
}

function token(claims: unknown): string {
  return `Bearer e30.${btoa(JSON.stringify(claims)).replace(/=+$/, "")}.c2ln`;
}

Deno.test("a visitor is where the nearest proxy saw the connection, not where a header of theirs says", () => {
  assert.equal(visitorAddress(from({ "x-forwarded-for": "10.0.0.1, 203.0.113.9" })), "203.0.113.9");
  assert.equal(visitorAddress(from({ "x-forwarded-for": "::1" })), "::1");
  assert.equal(
    visitorAddress(from({ "cf-connecting-ip": "198.51.100.7", "x-forwarded-for": "10.0.0.1" })),
    "198.51.100.7",
  );
  for (const odd of ["", "unknown", "10.0.0.1 OR 1", "x".repeat(500)]) {
    assert.equal(visitorAddress(from({ "x-forwarded-for": odd })), null, odd);
  }
  assert.equal(visitorAddress(from({})), null);
});

Deno.test("a user's token is a session, a key of the project and no token are none", () => {
  assert.equal(bringsSession(from({})), false);
  assert.equal(bringsSession(from({ authorization: token({ role: "anon" }) })), false);
  assert.equal(bringsSession(from({ authorization: token({ role: "authenticated", sub: "x" }) })), true);
  assert.equal(bringsSession(from({ authorization: "Bearer e30.!!!.x" })), false);
});

Deno.test("fields that the database would read in many forms have one", async () => {
  assert.equal(requireInstant({ at: "2026-03-01T09:00:00Z" }, "at"), "2026-03-01T09:00:00Z");
  assert.equal(requireInstant({ at: "2026-03-01T09:00:00.123+03:00" }, "at"), "2026-03-01T09:00:00.123+03:00");
  for (
    const at of [
      "now",
      "infinity",
      "tomorrow",
      "2026-03-01",
      "2026-03-01T09:00:00",
      "2026-13-01T09:00:00Z",
      "0001-01-01T00:00:00Z",
      5,
    ]
  ) await assertRefused(() => requireInstant({ at }, "at"), "invalid_input");
  for (const id of ["", "1", "00000000-0000-4000-8000-00000000000g", "{00000000-0000-4000-8000-000000000000}", null]) {
    await assertRefused(() => requireUuid({ id }, "id"), "invalid_input");
  }
  for (const n of ["60", 1.5, 2 ** 31, Number.NaN, true, []]) {
    await assertRefused(() => optionalInteger({ n }, "n"), "invalid_input");
  }
  for (const client of [null, [], "x", { name: 7 }, { name: "\0" }, { name: "\ud800" }, { name: ["x"] }]) {
    await assertRefused(() => requireTexts({ client }, "client"), "invalid_input");
  }
});

Deno.test("without a secret no CAPTCHA is asked for", async () => {
  Deno.env.delete("SAUTI_CAPTCHA_SECRET");
  await requireCaptcha({}, null);
});

Deno.test("a CAPTCHA token passes when its judge says so, who is told secret, token and address", async () => {
  const asked: Record<string, string>[] = [];
  let answer: () => Response = () => Response.json({ success: true });
  const judge = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    asked.push(Object.fromEntries(new URLSearchParams(await request.text())));
    return answer();
  });
  Deno.env.set("SAUTI_CAPTCHA_SECRET", "s3cret");
  Deno.env.set("SAUTI_CAPTCHA_URL", `http://127.0.0.1:${judge.addr.port}/siteverify`);
  try {
    await requireCaptcha({ captcha_token: "solved" }, "203.0.113.9");
    await requireCaptcha({ captcha_token: "solved" }, null);
    assert.deepEqual(asked, [
      { secret: "s3cret", response: "solved", remoteip: "203.0.113.9" },
      { secret: "s3cret", response: "solved" },
    ]);
    for (const fields of [{}, { captcha_token: "" }, { captcha_token: 7 }, { captcha_token: "x".repeat(5000) }]) {
      await assertRefused(() => requireCaptcha(fields, null), "invalid_input");
    }
    assert.equal(asked.length, 2);
    for (const verdict of [{ success: false }, { success: "true" }, {}]) {
      answer = () => Response.json(verdict);
      await assertRefused(() => requireCaptcha({ captcha_token: "guessed" }, null), "invalid_input");
    }
    for (
      const broken of [
        () => new Response("no", { status: 500 }),
        () => new Response("not json"),
        () => Response.json(null),
      ]
    ) {
      answer = broken;
      await assertRefused(() => requireCaptcha({ captcha_token: "solved" }, null), "unavailable");
    }
  } finally {
    Deno.env.delete("SAUTI_CAPTCHA_SECRET");
    Deno.env.delete("SAUTI_CAPTCHA_URL");
    await judge.shutdown();
  }
  Deno.env.set("SAUTI_CAPTCHA_SECRET", "s3cret");
  Deno.env.set("SAUTI_CAPTCHA_URL", "http://127.0.0.1:1/");
  await assertRefused(() => requireCaptcha({ captcha_token: "solved" }, null), "unavailable");
  Deno.env.delete("SAUTI_CAPTCHA_SECRET");
  Deno.env.delete("SAUTI_CAPTCHA_URL");
});
