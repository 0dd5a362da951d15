/**
 * One HTTP/1.1 request to a server that a user named, over a connection to an address that was judged before.
 *
 * `fetch` resolves names by itself, a second time, and cannot be told where to connect; so the connection is made
 * here. No redirect is followed, the time and the size of the answer are bounded, the certificate is checked against
 * the name.
 */

import { hostOf } from "./addresses.ts";

export interface Request {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  /** As much of the body as fits into the bound, as text. */
  readonly body: string;
}

export interface Bounds {
  readonly milliseconds: number;
  /** Of the whole answer, status line and headers included; the rest is not read. */
  readonly bytes: number;
}

/** The server could not be reached in time, or did not speak HTTP. The reason stays here. */
export class ExchangeFailed extends Error {
  override readonly name = "ExchangeFailed";
}

/** `addresses`: where to connect, tried in order. */
export async function exchange(
  url: URL,
  addresses: readonly string[],
  request: Request,
  bounds: Bounds,
): Promise<Answer> {
  const line = new Line();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ExchangeFailed("deadline")), bounds.milliseconds);
  });
  const work = converse(line, url, addresses, request, bounds.bytes);
  try {
    return await Promise.race([work, deadline]);
  } catch {
    throw new ExchangeFailed("The server could not be asked.");
  } finally {
    clearTimeout(timer);
    line.hangUp();
    work.catch(() => {}); // after the deadline its end interests nobody
  }
}

/** The connection, which the deadline may close at any moment, also while it is still being made. */
class Line {
  #connection: Deno.Conn | null = null;
  #closed = false;

  hold<Connection extends Deno.Conn>(connection: Connection): Connection {
    this.#connection = connection;
    if (this.#closed) {
      this.hangUp();
      throw new ExchangeFailed("deadline");
    }
    return connection;
  }

  hangUp(): void {
    this.#closed = true;
    try {
      this.#connection?.close();
    } catch {
      // Closed by the other side, or handed over to TLS.
    }
    this.#connection = null;
  }
}

async function converse(
  line: Line,
  url: URL,
  addresses: readonly string[],
  request: Request,
  maxBytes: number,
): Promise<Answer> {
  const secure = url.protocol === "https:";
  const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
  const plain = await connect(line, addresses, port);
  const connection = secure
    ? line.hold(await Deno.startTls(plain, { hostname: hostOf(url), alpnProtocols: ["http/1.1"] }))
    : plain;
  await writeAll(connection, encodeRequest(url, request));
  return parseAnswer(await readBounded(connection, maxBytes));
}

async function connect(line: Line, addresses: readonly string[], port: number): Promise<Deno.TcpConn> {
  for (const hostname of addresses) {
    try {
      return line.hold(await Deno.connect({ hostname, port, transport: "tcp" }));
    } catch (error) {
      if (error instanceof ExchangeFailed) throw error;
    }
  }
  throw new ExchangeFailed("connect");
}

/** Header values come from this project and from base64; a line break in one would be a mistake of ours. */
function encodeRequest(url: URL, request: Request): Uint8Array {
  const body = new TextEncoder().encode(request.body);
  const headers = {
    Host: url.host,
    ...request.headers,
    "Accept-Encoding": "identity",
    "Content-Length": String(body.byteLength),
    Connection: "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  if (lines.some((text) => /[\r\n]/.test(text))) throw new TypeError("line break in a header");
  const head = new TextEncoder().encode([`${request.method} ${url.pathname} HTTP/1.1`, ...lines, "", ""].join("\r\n"));
  const whole = new Uint8Array(head.byteLength + body.byteLength);
  whole.set(head);
  whole.set(body, head.byteLength);
  return whole;
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.byteLength;) sent += await connection.write(bytes.subarray(sent));
}

/** A server that sends byte by byte would cost a parse for each. */
const MAX_READS = 512;

/** Until the server closes or the answer is complete or the bound is reached. */
async function readBounded(connection: Deno.Conn, maxBytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(maxBytes);
  let size = 0;
  for (let reads = 0; size < maxBytes && !isComplete(buffer.subarray(0, size)); reads++) {
    if (reads === MAX_READS) throw new ExchangeFailed("drip");
    let count: number | null;
    try {
      count = await connection.read(buffer.subarray(size));
    } catch (error) {
      // Servers that close without TLS's own farewell are common; what came before it was authenticated.
      if (size > 0 && error instanceof Deno.errors.UnexpectedEof) break;
      throw error;
    }
    if (count === null) break;
    size += count;
  }
  return buffer.subarray(0, size);
}

/** Byte for byte, so that lengths count: the text is decoded at the end. */
const LATIN1 = new TextDecoder("latin1");

interface Frame {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly bodyStart: number;
}

/** The final answer's head, behind any interim ones; null while it is not there. */
function parseHead(bytes: Uint8Array): Frame | null {
  const text = LATIN1.decode(bytes);
  let start = 0;
  while (true) {
    const end = text.indexOf("\r\n\r\n", start);
    if (end < 0) return null;
    const [statusLine = "", ...lines] = text.slice(start, end).split("\r\n");
    const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine)?.[1]);
    if (!Number.isInteger(status)) throw new ExchangeFailed("status line");
    start = end + 4;
    if (status >= 100 && status < 200) continue;
    const headers = new Map(lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()] as const;
    }));
    return { status, headers, bodyStart: start };
  }
}

function isChunked(frame: Frame): boolean {
  return /(?:^|,)\s*chunked$/i.test(frame.headers.get("transfer-encoding") ?? "");
}

function isComplete(bytes: Uint8Array): boolean {
  const frame = parseHead(bytes);
  if (frame === null) return false;
  const body = bytes.subarray(frame.bodyStart);
  if (isChunked(frame)) return dechunk(body).complete;
  const length = frame.headers.get("content-length");
  return length !== undefined && /^\d+$/.test(length) && body.byteLength >= Number(length);
}

function parseAnswer(bytes: Uint8Array): Answer {
  const frame = parseHead(bytes);
  if (frame === null) throw new ExchangeFailed("head");
  const body = bytes.subarray(frame.bodyStart);
  return { status: frame.status, body: new TextDecoder().decode(isChunked(frame) ? dechunk(body).data : body) };
}

function dechunk(bytes: Uint8Array): { readonly data: Uint8Array; readonly complete: boolean } {
  const data = new Uint8Array(bytes.byteLength);
  const text = LATIN1.decode(bytes);
  let size = 0;
  let position = 0;
  while (true) {
    const end = text.indexOf("\r\n", position);
    if (end < 0) return { data: data.subarray(0, size), complete: false };
    const length = /^([0-9a-f]{1,8})\s*(?:;.*)?$/i.exec(text.slice(position, end))?.[1];
    if (length === undefined) throw new ExchangeFailed("chunk");
    const count = Number.parseInt(length, 16);
    if (count === 0) return { data: data.subarray(0, size), complete: true };
    const chunk = bytes.subarray(end + 2, end + 2 + count);
    data.set(chunk, size);
    size += chunk.byteLength;
    if (chunk.byteLength < count) return { data: data.subarray(0, size), complete: false };
    position = end + 2 + count + 2;
  }
}
