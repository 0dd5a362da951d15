/** Signatures of webhooks: lowercase hex of HMAC-SHA256 over the raw body. */

const HEX_DIGEST = /^[0-9a-f]{64}$/;

/**
 * Whether `signature` is that of `body` under `secret`; compared in constant time. Anything but 64 hexadecimal digits
 * is none, such as the word that Cal.com sends when its webhook has no secret.
 */
export async function isSigned(
  body: Uint8Array<ArrayBuffer>,
  signature: string | null,
  secret: string,
): Promise<boolean> {
  if (signature === null || !HEX_DIGEST.test(signature)) return false;
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(secret), algorithm, false, ["verify"]);
  const digest = Uint8Array.from(signature.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  return await crypto.subtle.verify("HMAC", key, digest, body);
}

/** Lowercase hex of SHA-256. */
export async function sha256(body: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
