import assert from "node:assert/strict";

import { escape, feed, type FeedEvent, fold } from "../../supabase/functions/calendar-feed/ics.ts";

const EVENT: FeedEvent = {
  uid: "7d8f8b5e-0000-4000-8000-000000000000@sauti",
  sequence: 3,
  starts_at: "2026-03-01T09:00:00+00:00",
  ends_at: "2026-03-01T13:00:00.5+03:00",
  status: "confirmed",
  revised_at: "2026-02-01T08:00:00.123456+00:00",
  created_at: "2026-01-31T23:59:59Z",
  case_code: "LUMO-KITA-42",
};

function lines(events: readonly FeedEvent[], link: string | null = "https://app.example"): string[] {
  return feed(events, link).split("\r\n");
}

Deno.test("a feed says that it is one, how often to look, and ends every line with CRLF", () => {
  const text = feed([], null);
  assert.ok(text.startsWith("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"));
  assert.ok(text.endsWith("END:VCALENDAR\r\n"));
  for (const line of ["METHOD:PUBLISH", "REFRESH-INTERVAL;VALUE=DURATION:PT1H"]) assert.ok(lines([]).includes(line));
  assert.equal(text.replaceAll("\r\n", "").search(/[\r\n]/), -1);
});

Deno.test("an entry has its identity, its revision and times in UTC", () => {
  const written = lines([EVENT]);
  for (
    const line of [
      "UID:7d8f8b5e-0000-4000-8000-000000000000@sauti",
      "SEQUENCE:3",
      "DTSTAMP:20260201T080000Z",
      "CREATED:20260131T235959Z",
      "DTSTART:20260301T090000Z",
      "DTEND:20260301T100000Z",
      "STATUS:CONFIRMED",
      "TRANSP:OPAQUE",
      "SUMMARY:Appointment",
      "DESCRIPTION:Case: LUMO-KITA-42\\nhttps://app.example",
      "URL:https://app.example",
    ]
  ) assert.ok(written.includes(line), line);
});

Deno.test("a request is tentative, a cancelled appointment is cancelled and holds no time", () => {
  assert.ok(lines([{ ...EVENT, status: "requested" }]).includes("STATUS:TENTATIVE"));
  const cancelled = lines([{ ...EVENT, status: "cancelled" }]);
  assert.ok(cancelled.includes("STATUS:CANCELLED") && cancelled.includes("TRANSP:TRANSPARENT"));
  for (const status of ["completed", "no_show"]) assert.ok(lines([{ ...EVENT, status }]).includes("STATUS:CONFIRMED"));
});

Deno.test("without a case and a link an entry has neither", () => {
  const written = lines([{ ...EVENT, case_code: null }], null).join("\n");
  assert.ok(!written.includes("DESCRIPTION") && !written.includes("URL"));
});

Deno.test("no value begins a line of its own", () => {
  const hostile = { ...EVENT, case_code: "A\r\nATTENDEE:mailto:eve@example.org\u0000;x,y\\z\u0085" };
  const written = lines([hostile]);
  assert.equal(written.some((line) => line.startsWith("ATTENDEE")), false);
  assert.equal(escape("a;b,c\\d\r\ne\rf\ng\u0007"), "a\\;b\\,c\\\\d\\ne\\nf\\ng");
});

Deno.test("lines are folded at 75 octets, never within a character", () => {
  for (const line of ["x".repeat(75), "x".repeat(76), "é".repeat(200), "🔑".repeat(100), `${"x".repeat(74)}🔑`]) {
    const parts = fold(line).split("\r\n");
    for (const part of parts) assert.ok(new TextEncoder().encode(part).byteLength <= 75);
    assert.equal(parts.map((part, index) => index === 0 ? part : part.slice(1)).join(""), line);
    assert.ok(parts.slice(1).every((part) => part.startsWith(" ")));
  }
  assert.equal(fold("x".repeat(75)).includes("\r\n"), false);
});
