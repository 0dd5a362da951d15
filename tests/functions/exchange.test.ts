import assert from "node:assert/strict";

import { exchange, ExchangeFailed } from "../../supabase/functions/_shared/exchange.ts";

const BOUNDS = { milliseconds: 5_000, bytes: 16 * 1024 };
const REQUEST = { method: "PROPFIND", headers: { Depth: "0" }, body: "<question/>" };
const HEAD_END = "\r\n\r\n";

type Behaviour = (connection: Deno.Conn, request: string) => Promise<void>;

/** A server for one connection; gives the port to `use` and the request it got back. */
async function against(behave: Behaviour, use: (port: number) => Promise<void>, tls?: Deno.TlsCertifiedKeyPem) {
  const listener = tls === undefined
    ? Deno.listen({ hostname: "127.0.0.1", port: 0 })
    : Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...tls });
  let request = "";
  const serving = (async () => {
    try {
      const connection = await listener.accept();
      const buffer = new Uint8Array(8192);
      try {
        while (!request.endsWith(REQUEST.body)) {
          const count = await connection.read(buffer);
          if (count === null) break;
          request += new TextDecoder().decode(buffer.subarray(0, count));
        }
        await behave(connection, request);
      } finally {
        connection.close();
      }
    } catch {
      // The other side hung up, which some of these tests want.
    }
  })();
  try {
    await use((listener.addr as Deno.NetAddr).port);
  } finally {
    listener.close();
    await serving;
  }
  return request;
}

function says(text: string): Behaviour {
  return async (connection) => {
    const bytes = new TextEncoder().encode(text);
    for (let sent = 0; sent < bytes.byteLength;) sent += await connection.write(bytes.subarray(sent));
  };
}

function ask(port: number, bounds = BOUNDS) {
  return exchange(new URL(`http://dav.example.com:${port}/ada/sessions/`), ["127.0.0.1"], REQUEST, bounds);
}

Deno.test("the connection goes to the judged address, the name goes into the Host header", async () => {
  const request = await against(says(`HTTP/1.1 207 Multi-Status\r\nContent-Length: 4${HEAD_END}<a/>`), async (port) => {
    assert.deepEqual(await ask(port), { status: 207, body: "<a/>" });
  });
  assert.match(request, /^PROPFIND \/ada\/sessions\/ HTTP\/1\.1\r\nHost: dav\.example\.com:\d+\r\nDepth: 0\r\n/);
  assert.ok(request.includes("\r\nContent-Length: 11\r\n") && request.endsWith(`${HEAD_END}<question/>`));
});

Deno.test("answers are read in every framing that servers use", async (test) => {
  const answers: Record<string, string> = {
    "length": `HTTP/1.1 207 Multi-Status\r\ncontent-length: 5${HEAD_END}<é/>`,
    "until the end": `HTTP/1.0 207 Multi-Status${HEAD_END}<é/>`,
    "chunks": `HTTP/1.1 207\r\nTransfer-Encoding: chunked${HEAD_END}2;x=y\r\n<\xc3\r\n3\r\n\xa9/>\r\n0\r\n\r\n`,
    "behind an interim answer": `HTTP/1.1 100 Continue${HEAD_END}HTTP/1.1 207 OK\r\nContent-Length: 5${HEAD_END}<é/>`,
  };
  for (const [name, answer] of Object.entries(answers)) {
    await test.step(name, async () => {
      const bytes = name === "chunks"
        ? Uint8Array.from(answer, (character) => character.charCodeAt(0))
        : new TextEncoder().encode(answer);
      await against(async (connection) => void await connection.write(bytes), async (port) => {
        assert.deepEqual(await ask(port), { status: 207, body: "<é/>" });
      });
    });
  }
});

Deno.test("a complete answer is taken without waiting for the server to hang up", async () => {
  const released = Promise.withResolvers<void>();
  const holdsOn: Behaviour = async (connection, request) => {
    await says(`HTTP/1.1 401 No\r\nContent-Length: 0${HEAD_END}`)(connection, request);
    await released.promise;
  };
  await against(holdsOn, async (port) => {
    assert.equal((await ask(port)).status, 401);
    released.resolve();
  });
});

Deno.test("a redirect is an answer, not an order", async () => {
  const second = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let followed = false;
  const watching = second.accept().then((connection) => {
    followed = true;
    connection.close();
  }, () => {});
  const target = `http://127.0.0.1:${(second.addr as Deno.NetAddr).port}/`;
  await against(says(`HTTP/1.1 302 Found\r\nLocation: ${target}\r\nContent-Length: 0${HEAD_END}`), async (port) => {
    assert.equal((await ask(port)).status, 302);
  });
  second.close();
  await watching;
  assert.equal(followed, false);
});

Deno.test("a server that never answers is left at the deadline", async () => {
  const released = Promise.withResolvers<void>();
  await against(() => released.promise, async (port) => {
    await assert.rejects(ask(port, { ...BOUNDS, milliseconds: 200 }), ExchangeFailed);
    released.resolve();
  });
});

Deno.test("an endless answer is read up to the bound only", async () => {
  const endless: Behaviour = async (connection, request) => {
    await says(`HTTP/1.1 207 Multi-Status${HEAD_END}`)(connection, request);
    while (true) await connection.write(new Uint8Array(4096).fill(0x20));
  };
  await against(endless, async (port) => {
    assert.ok((await ask(port)).body.length < BOUNDS.bytes);
  });
});

Deno.test("endless headers, endless interim answers and foreign protocols are failures", async (test) => {
  const answers: Record<string, string> = {
    "headers": `HTTP/1.1 207 OK\r\n${"x: y\r\n".repeat(4000)}`,
    "interim answers": `HTTP/1.1 103 Hints${HEAD_END}`.repeat(1000),
    "a mail server": "220 mail.example.com ESMTP\r\n\r\n",
    "HTTP/2": `HTTP/2 207 OK${HEAD_END}`,
    "status of two digits": `HTTP/1.1 20 OK${HEAD_END}`,
    "broken chunks": `HTTP/1.1 207 OK\r\nTransfer-Encoding: chunked${HEAD_END}zz\r\n`,
    "nothing": "",
  };
  for (const [name, answer] of Object.entries(answers)) {
    await test.step(name, async () => {
      await against(says(answer), (port) => assert.rejects(ask(port), ExchangeFailed));
    });
  }
});

Deno.test("a closed port is a failure without a reason", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await assert.rejects(ask(port), { name: "ExchangeFailed", message: "The server could not be asked." });
});

Deno.test("the next address is tried when one cannot be reached", async () => {
  await against(says(`HTTP/1.1 207 OK\r\nContent-Length: 0${HEAD_END}`), async (port) => {
    // Nothing of ours listens on the second loopback address.
    const url = new URL(`http://dav.example.com:${port}/`);
    assert.equal((await exchange(url, ["127.0.0.2", "127.0.0.1"], REQUEST, BOUNDS)).status, 207);
  });
});

Deno.test("over TLS the certificate has to be for the name, wherever the connection goes", async (test) => {
  // The runner makes a certificate for dav.example.com and lets this process trust it.
  const cert = await Deno.readTextFile(Deno.env.get("TEST_CERTIFICATE") ?? "");
  const key = await Deno.readTextFile(Deno.env.get("TEST_CERTIFICATE_KEY") ?? "");
  const answer = says(`HTTP/1.1 207 OK\r\nContent-Length: 4${HEAD_END}<a/>`);
  await test.step("the right name", async () => {
    await against(answer, async (port) => {
      const url = new URL(`https://dav.example.com:${port}/`);
      assert.deepEqual(await exchange(url, ["127.0.0.1"], REQUEST, BOUNDS), { status: 207, body: "<a/>" });
    }, { cert, key });
  });
  await test.step("another name", async () => {
    let heard = "";
    await against(async (_, request) => void (heard = await Promise.resolve(request)), async (port) => {
      const url = new URL(`https://other.example.com:${port}/`);
      await assert.rejects(exchange(url, ["127.0.0.1"], REQUEST, BOUNDS), ExchangeFailed);
    }, { cert, key });
    assert.equal(heard, "");
  });
});
