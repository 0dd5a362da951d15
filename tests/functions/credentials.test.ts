import assert from "node:assert/strict";

import { open, requireTokenKeys, seal } from "../../supabase/functions/_shared/credentials.ts";
import { refusal } from "./refusal.ts";

const KEY_A = `a:${btoa("A".repeat(32))}`;
const KEY_B = `b:${btoa("B".repeat(32))}`;
const OWNER = { userId: "0c1f9a52-9a0e-4a55-8df6-0d1f6c2f6c11", provider: "caldav" } as const;
const SECRET = { url: "https://dav.example.com/ada/", username: "ada", password: "tṛṣṇā-🔑" };

async function withKeys<Result>(keys: string | null, call: () => Promise<Result>): Promise<Result> {
  if (keys === null) Deno.env.delete("SAUTI_TOKEN_KEYS");
  else Deno.env.set("SAUTI_TOKEN_KEYS", keys);
  try {
    return await call();
  } finally {
    Deno.env.delete("SAUTI_TOKEN_KEYS");
  }
}

Deno.test("a ciphertext has the shared form, shows nothing, and opens for its owner", async () => {
  const sealed = await withKeys(KEY_A, () => seal(SECRET, OWNER));
  assert.match(sealed, /^v1\.a\.[\w-]{16}\.[\w-]+$/);
  assert.ok(!sealed.includes(SECRET.password) && !atobUrl(sealed).includes("ada"));
  assert.deepEqual(await withKeys(KEY_A, () => open(sealed, OWNER)), SECRET);
});

Deno.test("the same credentials never give the same ciphertext", async () => {
  const sealed = await withKeys(KEY_A, () => Promise.all(Array.from({ length: 100 }, () => seal(SECRET, OWNER))));
  assert.equal(new Set(sealed.map((text) => text.split(".")[2])).size, 100);
});

Deno.test("the first key encrypts, every key opens", async () => {
  const old = await withKeys(KEY_A, () => seal(SECRET, OWNER));
  const renewed = await withKeys(`${KEY_B},${KEY_A}`, () => seal(SECRET, OWNER));
  assert.ok(renewed.startsWith("v1.b."));
  assert.deepEqual(await withKeys(`${KEY_B},${KEY_A}`, () => open(old, OWNER)), SECRET);
  await assert.rejects(withKeys(KEY_B, () => open(old, OWNER)));
});

Deno.test("a ciphertext moved to another user or provider does not open", async () => {
  const sealed = await withKeys(KEY_A, () => seal(SECRET, OWNER));
  const other = { ...OWNER, userId: "11111111-9a0e-4a55-8df6-0d1f6c2f6c11" };
  await assert.rejects(withKeys(KEY_A, () => open(sealed, other)));
  await assert.rejects(withKeys(KEY_A, () => open(sealed, { ...OWNER, provider: "google" })));
});

Deno.test("a changed ciphertext does not open, wherever it was changed", async () => {
  const sealed = await withKeys(KEY_A, () => seal(SECRET, OWNER));
  const [version, id, nonce, data = ""] = sealed.split(".");
  const flipped = data.replace(/^./, (first) => first === "A" ? "B" : "A");
  const changed = [
    `v2.${id}.${nonce}.${data}`,
    `${version}.z.${nonce}.${data}`,
    `${version}.${id}.${"A".repeat(16)}.${data}`,
    `${version}.${id}.${nonce}.${flipped}`,
    `${version}.${id}.${nonce}.${data.slice(0, -8)}`,
    `${version}.${id}.${nonce}`,
    `${sealed}.x`,
    "",
  ];
  for (const text of changed) {
    await assert.rejects(withKeys(KEY_A, () => open(text, OWNER)), { message: "These credentials cannot be opened." });
  }
});

Deno.test("missing or unusable keys are a clear 503 that repeats nothing of them", async () => {
  const short = btoa("A".repeat(31));
  for (
    const keys of [null, "", ",", "a:", `a:${short}`, "a", `:${short}`, `${KEY_A},`, `${KEY_A},${KEY_A}`, "a b:xx"]
  ) {
    const body = await refusal(() => withKeys(keys, requireTokenKeys));
    assert.deepEqual([body.code, body.message], ["PT503", "unavailable"], String(keys));
    assert.ok(!JSON.stringify(body).includes(short));
  }
});

function atobUrl(sealed: string): string {
  return atob((sealed.split(".")[3] ?? "").replaceAll("-", "+").replaceAll("_", "/"));
}
