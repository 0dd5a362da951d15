/**
 * Where a server named by a user may stand. A function runs inside a network of its own: without this wall, anybody
 * with an account could make it knock at loopback, at neighbours and at the metadata service of the cloud.
 *
 * Two steps. `serverUrl` judges the text. `publicAddresses` judges what the name stands for *now*, and the caller
 * connects to exactly those addresses: a name that answers differently a moment later (DNS rebinding) wins nothing.
 */

import { failure } from "./errors.ts";

export type Resolver = (hostname: string, type: "A" | "AAAA") => Promise<string[]>;

/** A name with more records than this is not a calendar server. */
const MAX_ADDRESSES = 32;

/** Networks of the IANA special-purpose registry, and the addresses where clouds put their metadata services. */
const FORBIDDEN_IPV4 = [
  "0.0.0.0/8", // this network
  "10.0.0.0/8",
  "100.64.0.0/10", // carrier-grade NAT; metadata of Alibaba Cloud
  "127.0.0.0/8",
  "168.63.129.16/32", // the host of a virtual machine on Azure
  "169.254.0.0/16", // link-local; metadata of most clouds
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16",
  "198.18.0.0/15", // benchmarks
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/3", // multicast, reserved, broadcast
].map((network) => {
  const [base = "", bits = ""] = network.split("/");
  return { base: parseIpv4(base) ?? 0, size: 2 ** (32 - Number(bits)) };
});

/**
 * A server's address: https, or http where `allowPrivate`; nothing in it that is not part of the address.
 * Odd spellings of IPv4 (decimal, octal, hexadecimal, full-width digits) are plain ones after parsing.
 */
export function serverUrl(text: string, allowPrivate: boolean): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null) throw failure("invalid_input", "The address is not a valid URL.");
  if (url.protocol !== "https:" && !(allowPrivate && url.protocol === "http:")) {
    throw failure("invalid_input", "The address has to begin with https://.");
  }
  // An empty user name or fragment leaves no trace in the parsed URL: look at the text too.
  const authority = text.split(/[/\\?#]+/, 2)[1] ?? "";
  if (url.username !== "" || url.password !== "" || authority.includes("@")) {
    throw failure("invalid_input", "The address may not hold a user name or password.");
  }
  if (text.includes("#") || text.includes("?")) {
    throw failure("invalid_input", "The address may not hold a query or a fragment.");
  }
  return url;
}

/** The host without the brackets of an IPv6 literal: what DNS, sockets and certificates know. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

/**
 * The addresses to connect to, IPv4 first. One private address among public ones refuses the name: the caller must
 * not be able to choose by luck. A name that does not resolve is refused in the same words as one that may not be used.
 */
export async function publicAddresses(host: string, resolve: Resolver = Deno.resolveDns): Promise<string[]> {
  const literal = parseIpv4(host) !== null || host.includes(":");
  const addresses = literal
    ? [host]
    : (await Promise.all([lookUp(resolve, host, "A"), lookUp(resolve, host, "AAAA")])).flat();
  if (addresses.length === 0 || addresses.length > MAX_ADDRESSES || !addresses.every(isPublicAddress)) {
    throw failure("invalid_input", "The address leads to no public server.");
  }
  return addresses;
}

async function lookUp(resolve: Resolver, host: string, type: "A" | "AAAA"): Promise<string[]> {
  try {
    return await resolve(host, type);
  } catch {
    return []; // no record of this type, or no such name
  }
}

export function isPublicAddress(address: string): boolean {
  const ipv4 = parseIpv4(address);
  if (ipv4 !== null) return !FORBIDDEN_IPV4.some(({ base, size }) => ipv4 >= base && ipv4 < base + size);
  const groups = parseIpv6(address);
  return groups !== null && isPublicIpv6(groups);
}

/**
 * Only global unicast, 2000::/3: outside of it are loopback, unique-local, link-local, multicast, and every form that
 * carries an IPv4 address (mapped, compatible, NAT64). Inside of it, four blocks lead elsewhere.
 */
function isPublicIpv6(groups: readonly number[]): boolean {
  const [first = 0, second = 0] = groups;
  if (first < 0x2000 || first > 0x3fff) return false;
  if (first === 0x2001 && second < 0x0200) return false; // protocol assignments: Teredo, ORCHID, benchmarks
  if (first === 0x2001 && second === 0x0db8) return false; // documentation
  if (first === 0x2002) return false; // 6to4: carries an IPv4 address
  if (first === 0x3fff && second < 0x1000) return false; // documentation
  return true;
}

/** The 32-bit number of a plain dotted quad, else null. */
function parseIpv4(address: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  if (match === null) return null;
  const octets = match.slice(1).map(Number);
  return octets.every((octet) => octet <= 255) ? octets.reduce((number, octet) => number * 256 + octet, 0) : null;
}

/** The eight groups, else null; a zone id makes an address no address. */
function parseIpv6(address: string): number[] | null {
  if (!address.includes(":") || !URL.canParse(`http://[${address}]/`)) return null;
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const gap = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array<string>(gap).fill("0"), ...right].map((group) => Number.parseInt(group, 16));
}
