import assert from "node:assert/strict";

import { readFields, requireText } from "../../supabase/functions/_shared/body.ts";
import { refusal } from "./refusal.ts";

function posted(body: BodyInit | null, type = "application/json"): Request {
  return new Request("http://functions.test/api", { method: "POST", body, headers: { "content-type": type } });
}

Deno.test("a JSON object is read, whatever the charset parameter says", async () => {
  assert.deepEqual(await readFields(posted('{"a":1}')), { a: 1 });
  assert.deepEqual(await readFields(posted('{"a":"é"}', "Application/JSON; charset=utf-8")), { a: "é" });
});

Deno.test("a body that is no JSON object is invalid_input", async (test) => {
  const bodies: Record<string, Request> = {
    "no body": posted(null),
    "empty": posted(""),
    "cut off": posted('{"a":'),
    "array": posted("[]"),
    "null": posted("null"),
    "text": posted('"a"'),
    "number": posted("1"),
    "not UTF-8": posted(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
    "form": posted("a=1", "application/x-www-form-urlencoded"),
    "plain text": posted('{"a":1}', "text/plain"),
    "similar type": posted('{"a":1}', "application/jsonp"),
  };
  for (const [name, request] of Object.entries(bodies)) {
    await test.step(name, async () => {
      assert.equal((await refusal(() => readFields(request))).message, "invalid_input");
    });
  }
});

Deno.test("reading stops at the size limit, whatever the body claims about its length", async () => {
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 1024;
      controller.enqueue(new Uint8Array(1024).fill(0x20));
    },
  });
  const body = await refusal(() => readFields(posted(endless)));
  assert.deepEqual([body.message, body.details], ["invalid_input", "The body is too large."]);
  assert.ok(sent < 64 * 1024);
});

Deno.test("a field that is not a clean text of the right length is invalid_input", async (test) => {
  const values: Record<string, unknown> = {
    "absent": undefined,
    "null": null,
    "empty": "",
    "number": 7,
    "boolean": true,
    "object": { a: 1 },
    "array": ["a"],
    "too long": "a".repeat(11),
    "NUL": "a\u0000b",
    "line break": "a\r\nb",
    "delete": "a\u007f",
    "C1 control": "a\u0085",
    "lone surrogate": "a\ud800",
  };
  for (const [name, value] of Object.entries(values)) {
    await test.step(name, async () => {
      const body = await refusal(() => requireText({ word: value }, "word", 10));
      assert.equal(body.message, "invalid_input");
      assert.match(body.details ?? "", /^The field word /);
    });
  }
  await test.step("inherited name", async () => {
    assert.equal((await refusal(() => requireText({}, "constructor", 10))).message, "invalid_input");
  });
});

Deno.test("a clean text is given back unchanged", () => {
  assert.equal(requireText({ word: " été 🔑 " }, "word", 10), " été 🔑 ");
});
