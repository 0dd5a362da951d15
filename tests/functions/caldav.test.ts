import assert from "node:assert/strict";

import { calendarUrl, isCalendar, verifyCalendar } from "../../supabase/functions/_shared/caldav.ts";
import { refusal } from "./refusal.ts";

function multistatus(resourcetype: string, declarations = 'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"') {
  return `<?xml version="1.0"?><multistatus ${declarations}><response><href>/ada/sessions/</href><propstat><prop>` +
    `<resourcetype>${resourcetype}</resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>`;
}

/** A DAV server with one user, whose every collection has this resource type. */
async function withServer(resourcetype: string, use: (url: string, seen: string[]) => Promise<void>): Promise<void> {
  const seen: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    seen.push(`${request.method} ${new URL(request.url).pathname} ${request.headers.get("depth")}`);
    const { pathname } = new URL(request.url);
    if (request.headers.get("authorization") !== `Basic ${btoa("ada:right")}`) {
      return new Response(null, { status: 401 });
    }
    if (pathname === "/moved/") return Response.redirect(new URL("/ada/sessions/", request.url), 301);
    if (pathname !== "/ada/sessions/") return new Response("no such thing: <secret/>", { status: 404 });
    return new Response(multistatus(resourcetype), { status: 207, headers: { "content-type": "text/xml" } });
  });
  try {
    await use(`http://127.0.0.1:${server.addr.port}`, seen);
  } finally {
    await server.shutdown();
  }
}

Deno.test("the right credentials for a calendar pass, with one question", async () => {
  await withServer("<collection/><C:calendar/>", async (url, seen) => {
    await verifyCalendar({ url: `${url}/ada/sessions/`, username: "ada", password: "right" }, true);
    assert.deepEqual(seen, ["PROPFIND /ada/sessions/ 0"]);
  });
});

Deno.test("what the server refuses is invalid_input and repeats nothing it said", async (test) => {
  const cases: Record<string, { path: string; password: string }> = {
    "wrong password": { path: "/ada/sessions/", password: "wrong" },
    "no such collection": { path: "/ada/other/", password: "right" },
    "a redirect": { path: "/moved/", password: "right" },
  };
  for (const [name, { path, password }] of Object.entries(cases)) {
    await test.step(name, async () => {
      await withServer("<collection/><C:calendar/>", async (url, seen) => {
        const body = await refusal(() => verifyCalendar({ url: url + path, username: "ada", password }, true));
        assert.equal(body.message, "invalid_input");
        assert.ok(!/secret|ada|wrong|right|127|such thing/.test(JSON.stringify(body)));
        assert.equal(seen.length, 1);
      });
    });
  }
});

Deno.test("an address book is no calendar", async () => {
  await withServer("<collection/><C:calendar-home-set/>", async (url) => {
    const body = await refusal(() =>
      verifyCalendar({ url: `${url}/ada/sessions/`, username: "ada", password: "right" }, true)
    );
    assert.equal(body.details, "There is no calendar at this address.");
  });
});

Deno.test("a server on a private network is not even asked, unless that is allowed", async () => {
  await withServer("<collection/><C:calendar/>", async (url, seen) => {
    for (const address of [url, url.replace("127.0.0.1", "localhost"), url.replace("http:", "https:")]) {
      const credentials = { url: `${address}/ada/sessions/`, username: "ada", password: "right" };
      assert.equal((await refusal(() => verifyCalendar(credentials, false))).message, "invalid_input");
    }
    assert.deepEqual(seen, []);
  });
});

Deno.test("a calendar is known by its namespace, not by its prefix", () => {
  const dav = 'xmlns:d="DAV:"';
  const caldav = "urn:ietf:params:xml:ns:caldav";
  assert.ok(isCalendar(multistatus('<calendar xmlns="urn:ietf:params:xml:ns:caldav"/>', dav)));
  assert.ok(isCalendar(multistatus("<cal:calendar />", `${dav} xmlns:cal='${caldav}'`)));
  assert.ok(isCalendar(multistatus("<ns0.x:calendar></ns0.x:calendar>", `${dav} xmlns:ns0.x = "${caldav}"`)));
  assert.ok(!isCalendar(multistatus("<x:calendar/>", `${dav} xmlns:x="http://example.com/" xmlns:cal="${caldav}"`)));
  assert.ok(!isCalendar(multistatus("<collection/>")));
  assert.ok(!isCalendar(""));
});

Deno.test("an address without a slash at the end gets one", () => {
  assert.equal(
    calendarUrl("https://dav.example.com/ada/sessions", false).href,
    "https://dav.example.com/ada/sessions/",
  );
  assert.equal(calendarUrl("https://dav.example.com", false).href, "https://dav.example.com/");
});
