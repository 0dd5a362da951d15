/**
 * The state that goes to the consent page and comes back: `<user id>.<random>.<signature>`.
 *
 * The signature binds it to the person who began and to the provider, so that a made-up one does not even reach the
 * database; there only its hash is kept, and its first use takes it out. It is signed with the project's secret key under
 * a label of its own.
 */

import { isUuid } from "./upstream.ts";
import { base64Url, digest, type OAuthProvider, randomText } from "./oauth.ts";
import { project } from "./settings.ts";

export async function newState(userId: string, provider: OAuthProvider): Promise<string> {
  const body = `${userId}.${randomText()}`;
  return `${body}.${base64Url(await sign(body, provider))}`;
}

/** The user id inside, or null when the state is none of ours for this provider. */
export async function readState(state: string, provider: OAuthProvider): Promise<string | null> {
  const [userId = "", nonce = "", signature = "", ...rest] = state.split(".");
  if (rest.length > 0 || !isUuid(userId) || !/^[\w-]{43}$/.test(nonce) || !/^[\w-]{43}$/.test(signature)) return null;
  const padded = signature.replaceAll("-", "+").replaceAll("_", "/") + "=";
  const given = Uint8Array.from(atob(padded), (character) => character.charCodeAt(0));
  const body = new TextEncoder().encode(label(`${userId}.${nonce}`, provider));
  // `verify` compares in constant time.
  return await crypto.subtle.verify("HMAC", await key(), given, body) ? userId : null;
}

/** What the database keeps: lowercase hex of SHA-256. */
export async function stateHash(state: string): Promise<string> {
  return Array.from(await digest(state), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function sign(body: string, provider: OAuthProvider): Promise<Uint8Array> {
  const text = new TextEncoder().encode(label(body, provider));
  return new Uint8Array(await crypto.subtle.sign("HMAC", await key(), text));
}

function label(body: string, provider: OAuthProvider): string {
  return `oauth-state:${provider}:${body}`;
}

async function key(): Promise<CryptoKey> {
  const secret = new TextEncoder().encode(project().secretKey);
  return await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}
