/**
 * Credentials are encrypted before they leave the function that took them; only holders of the token keys, the worker
 * and the functions, can read them. The database cannot.
 *
 * `v1.<key id>.<nonce>.<ciphertext and tag>`: AES-256-GCM, nonce of 12 random bytes, both parts base64url without
 * padding. The associated data `<user id>:<provider>` binds a ciphertext to its owner: copied to another person's row
 * it does not open. `sauti_sync/credentials.py` is the other half.
 */

import { failure } from "./errors.ts";

const NONCE_BYTES = 12;
const KEY_BYTES = 32;

export interface CredentialOwner {
  readonly userId: string;
  readonly provider: "google" | "microsoft" | "caldav" | "cal_com";
}

interface TokenKey {
  readonly id: string;
  readonly key: CryptoKey;
}

/** Encrypts under the first key, with a nonce of its own each time. */
export async function seal(credentials: Record<string, unknown>, owner: CredentialOwner): Promise<string> {
  const [first] = await tokenKeys();
  if (first === undefined) throw notConfigured();
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const ciphertext = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv: nonce, additionalData: associatedData(owner) },
    first.key,
    new TextEncoder().encode(JSON.stringify(credentials)),
  );
  return `v1.${first.id}.${encodeBase64Url(nonce)}.${encodeBase64Url(new Uint8Array(ciphertext))}`;
}

/** What `seal` was given. A wrong owner, an unknown key and a changed byte are the same `Error`. */
export async function open(sealed: string, owner: CredentialOwner): Promise<Record<string, unknown>> {
  const [version, id, nonce, ciphertext, ...rest] = sealed.split(".");
  const key = (await tokenKeys()).find((candidate) => candidate.id === id)?.key;
  try {
    if (version !== "v1" || !key || !nonce || !ciphertext || rest.length > 0) throw new TypeError("form");
    const plaintext = await crypto.subtle.decrypt(
      { name: "AES-GCM", iv: decodeBase64Url(nonce), additionalData: associatedData(owner) },
      key,
      decodeBase64Url(ciphertext),
    );
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(plaintext)) as Record<string, unknown>;
  } catch {
    throw new Error("These credentials cannot be opened.");
  }
}

/** Refuses early, before anything is asked of the caller's calendar server. */
export async function requireTokenKeys(): Promise<void> {
  await tokenKeys();
}

/** `SAUTI_TOKEN_KEYS` = `id:base64[,id:base64]`, 32 bytes each, ids unique; the first one encrypts. */
async function tokenKeys(): Promise<readonly TokenKey[]> {
  const entries = (Deno.env.get("SAUTI_TOKEN_KEYS") ?? "").split(",").map((entry) => entry.trim());
  const keys = new Map<string, TokenKey>();
  for (const entry of entries) {
    const [, id, encoded] = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]{43}=)$/.exec(entry) ?? [];
    if (id === undefined || encoded === undefined || keys.has(id)) throw notConfigured();
    const bytes = decodeBase64(encoded);
    if (bytes.byteLength !== KEY_BYTES) throw notConfigured();
    keys.set(id, { id, key: await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]) });
  }
  if (keys.size === 0) throw notConfigured();
  return [...keys.values()];
}

function notConfigured(): Error {
  return failure("unavailable", "This server cannot keep calendar credentials yet.", {
    hint: "The people who run this server have to set its token keys.",
  });
}

function associatedData({ userId, provider }: CredentialOwner) {
  return new TextEncoder().encode(`${userId}:${provider}`);
}

function encodeBase64Url(bytes: Uint8Array): string {
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function decodeBase64Url(text: string) {
  if (!/^[\w-]+$/.test(text)) throw new TypeError("base64url");
  return decodeBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
}

function decodeBase64(text: string) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
