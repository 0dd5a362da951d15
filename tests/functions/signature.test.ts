import assert from "node:assert/strict";
import { createHmac } from "node:crypto";

import { isSigned, sha256 } from "../../supabase/functions/_shared/signature.ts";

const BODY = new TextEncoder().encode('{"triggerEvent":"BOOKING_CREATED","title":"é"}');
const SECRET = "a webhook's secret";
const GOOD = createHmac("sha256", SECRET).update(BODY).digest("hex");

Deno.test("the signature of the raw body passes", async () => {
  assert.equal(await isSigned(BODY, GOOD, SECRET), true);
});

Deno.test("any other signature, body or secret does not", async () => {
  const flipped = (GOOD[0] === "0" ? "1" : "0") + GOOD.slice(1);
  const forms = [
    flipped,
    GOOD.toUpperCase().replace(/^\d/, "A"),
    GOOD.slice(2),
    `${GOOD}00`,
    `sha256=${GOOD}`,
    ` ${GOOD}`,
  ];
  for (const signature of [null, "", "no-secret-provided", "0".repeat(64), "z".repeat(64), ...forms]) {
    assert.equal(await isSigned(BODY, signature, SECRET), false, String(signature));
  }
  assert.equal(await isSigned(BODY.slice(1), GOOD, SECRET), false);
  assert.equal(await isSigned(BODY, GOOD, `${SECRET} `), false);
});

Deno.test("the hash of a body is lowercase hexadecimal", async () => {
  assert.equal(await sha256(new Uint8Array()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});
