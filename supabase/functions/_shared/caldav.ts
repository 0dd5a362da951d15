/** Asks a CalDAV server whether an address is a calendar that these credentials open. */

import { hostOf, publicAddresses, serverUrl } from "./addresses.ts";
import { failure } from "./errors.ts";
import { type Answer, type Bounds, exchange } from "./exchange.ts";

export interface CalDavCredentials {
  /** The calendar collection, with a slash at the end. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
}

const BOUNDS: Bounds = { milliseconds: 10_000, bytes: 64 * 1024 };
const CALDAV_NAMESPACE = "urn:ietf:params:xml:ns:caldav";
const QUESTION = '<?xml version="1.0" encoding="utf-8"?>' +
  '<propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>';

/** Entries below a collection are named relative to it, so it ends in a slash (RFC 4918, 5.2). */
export function calendarUrl(text: string, allowPrivate: boolean): URL {
  const url = serverUrl(text, allowPrivate);
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

/**
 * Passes when the collection answers a `PROPFIND` of depth 0 with these credentials and is a calendar; else
 * `invalid_input`, without a word of what the server said. One authenticated request, no redirects.
 */
export async function verifyCalendar(credentials: CalDavCredentials, allowPrivate: boolean): Promise<void> {
  const url = new URL(credentials.url);
  // Where private networks are allowed there is nothing to judge, and names of the local network have to work.
  const addresses = allowPrivate ? [hostOf(url)] : await publicAddresses(hostOf(url));
  const answer = await ask(url, addresses, credentials);
  if (answer.status === 401 || answer.status === 403) {
    throw failure("invalid_input", "The calendar server did not accept the user name and password.", {
      hint: "Check both; many servers want a password made for one app.",
    });
  }
  if (answer.status !== 207 || !isCalendar(answer.body)) {
    throw failure("invalid_input", "There is no calendar at this address.", {
      hint: "Give the full address of one calendar, not of the server or of the account.",
    });
  }
}

async function ask(url: URL, addresses: readonly string[], { username, password }: CalDavCredentials): Promise<Answer> {
  const pair = new TextEncoder().encode(`${username}:${password}`);
  const request = {
    method: "PROPFIND",
    headers: {
      Authorization: `Basic ${btoa(Array.from(pair, (byte) => String.fromCharCode(byte)).join(""))}`,
      Depth: "0",
      "Content-Type": "application/xml; charset=utf-8",
      Accept: "application/xml, text/xml",
      "User-Agent": "calendar-sync/1.0", // names no product: a calendar's host learns nothing
    },
    body: QUESTION,
  };
  try {
    return await exchange(url, addresses, request, BOUNDS);
  } catch {
    throw failure("invalid_input", "The calendar server could not be reached.");
  }
}

/** Looks for the resource type `calendar`, by whatever prefix the answer binds to its namespace. */
export function isCalendar(multistatus: string): boolean {
  const bindings = multistatus.matchAll(/xmlns(?::([\w.-]{1,64}))?\s{0,8}=\s{0,8}["']([^"'<>]{0,256})["']/g);
  for (const [, prefix, namespace] of bindings) {
    if (namespace !== CALDAV_NAMESPACE) continue;
    const name = prefix === undefined ? "calendar" : `${prefix.replaceAll(".", "\\.")}:calendar`;
    if (new RegExp(`<${name}[\\s/>]`).test(multistatus)) return true;
  }
  return false;
}
