import assert from "node:assert/strict";

import { hostOf, isPublicAddress, publicAddresses, serverUrl } from "../../supabase/functions/_shared/addresses.ts";
import addresses from "./addresses.json" with { type: "json" };
import { refusal } from "./refusal.ts";

Deno.test("no address of a private, local or special network is public", () => {
  assert.deepEqual(addresses.private.filter(isPublicAddress), []);
});

Deno.test("the neighbours of those networks are public", () => {
  assert.deepEqual(addresses.public.filter((address) => !isPublicAddress(address)), []);
});

Deno.test("every spelling of a private literal is refused", async (test) => {
  const spellings = [
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://１２７.0.0.1/",
    "https://%31%32%37.0.0.1/",
    "https://127。0。0。1/",
    "https://0/",
    "https://2852039166/latest/meta-data/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::169.254.169.254]/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",
  ];
  for (const spelling of spellings) {
    await test.step(spelling, async () => {
      const host = hostOf(serverUrl(spelling, false));
      const body = await refusal(() => publicAddresses(host, () => Promise.reject(new Error("asked DNS"))));
      assert.equal(body.message, "invalid_input");
    });
  }
});

Deno.test("a text that is not the plain https address of a server is refused", async (test) => {
  const texts = [
    "",
    "calendar.example.com",
    "//calendar.example.com/",
    "http://calendar.example.com/",
    "ftp://calendar.example.com/",
    "file:///etc/passwd",
    "data:text/plain,x",
    "javascript:alert(1)",
    "https://",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://ada@calendar.example.com/",
    "https://ada:secret@calendar.example.com/",
    "https://@calendar.example.com/",
    "https://:@calendar.example.com/",
    "https:\\\\ada@calendar.example.com/",
    "https://calendar.example.com/#part",
    "https://calendar.example.com/#",
    "https://calendar.example.com/?token=1",
    "https://calendar.example.com:99999/",
  ];
  for (const text of texts) {
    await test.step(text || "(empty)", async () => {
      assert.equal((await refusal(() => serverUrl(text, false))).message, "invalid_input");
    });
  }
});

Deno.test("plain http passes only where private networks are allowed", () => {
  assert.equal(serverUrl("http://127.0.0.1:5232/ada/sessions/", true).port, "5232");
});

Deno.test("an at sign in the path is part of the address", () => {
  assert.equal(serverUrl("https://dav.example.com/ada@example.com/", false).pathname, "/ada@example.com/");
});

Deno.test("a name is judged by all addresses behind it", async (test) => {
  const cases: Record<string, { A: string[]; AAAA: string[] }> = {
    "a private IPv4 address": { A: ["10.0.0.5"], AAAA: [] },
    "the metadata service": { A: ["169.254.169.254"], AAAA: [] },
    "a private one among public ones": { A: ["1.1.1.1", "192.168.1.1"], AAAA: [] },
    "a private IPv6 address beside a public IPv4": { A: ["1.1.1.1"], AAAA: ["fd00::1"] },
    "loopback by IPv6 only": { A: [], AAAA: ["::1"] },
    "no address": { A: [], AAAA: [] },
    "more addresses than a server has": { A: Array<string>(33).fill("1.1.1.1"), AAAA: [] },
    "something that is no address": { A: ["localhost"], AAAA: [] },
  };
  for (const [name, records] of Object.entries(cases)) {
    await test.step(name, async () => {
      const body = await refusal(() =>
        publicAddresses("calendar.example.com", (_, type) => Promise.resolve(records[type]))
      );
      assert.equal(body.message, "invalid_input");
      assert.equal(body.details, "The address leads to no public server.");
    });
  }
});

Deno.test("a name that does not resolve is refused in the same words as a private one", async () => {
  const body = await refusal(() => publicAddresses("nowhere.example.com", () => Promise.reject(new Error("NXDOMAIN"))));
  assert.equal(body.details, "The address leads to no public server.");
});

Deno.test("a public name gives its addresses, IPv4 first, even when one record type fails", async () => {
  const both = { A: ["1.1.1.1"], AAAA: ["2606:4700:4700::1111"] };
  assert.deepEqual(await publicAddresses("dav.example.com", (_, type) => Promise.resolve(both[type])), [
    "1.1.1.1",
    "2606:4700:4700::1111",
  ]);
  const oneFails = (_: string, type: "A" | "AAAA") =>
    type === "A" ? Promise.resolve(["1.1.1.1"]) : Promise.reject(new Error("no data"));
  assert.deepEqual(await publicAddresses("dav.example.com", oneFails), ["1.1.1.1"]);
});
