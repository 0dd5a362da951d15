/** Reading what a caller sent: bounded bytes, JSON objects, text fields. Every refusal is `invalid_input`. */

import { failure } from "./errors.ts";

const MAX_BODY_BYTES = 16 * 1024;

export type Fields = Readonly<Record<string, unknown>>;

/** The JSON object in the body. */
export async function readFields(request: Request): Promise<Fields> {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json") throw failure("invalid_input", "The body has to be application/json.");
  const bytes = await readBytes(request, MAX_BODY_BYTES);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw failure("invalid_input", "The body is not valid JSON.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw failure("invalid_input", "The body has to be a JSON object.");
  }
  return value as Fields;
}

/** At most `limit` bytes; what comes after is not even read. */
export async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > limit) throw failure("invalid_input", "The body is too large.");
    chunks.push(chunk);
  }
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}

/** A required text of 1 to `max` UTF-16 units, without control characters and lone surrogates. */
export function requireText(fields: Fields, name: string, max: number): string {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (value === undefined || value === null || value === "") {
    throw failure("invalid_input", `The field ${name} is missing.`);
  }
  if (typeof value !== "string") throw failure("invalid_input", `The field ${name} has to be a text.`);
  if (value.length > max) throw failure("invalid_input", `The field ${name} is longer than ${max} characters.`);
  // deno-lint-ignore no-control-regex
  if (/[\u0000-\u001f\u007f-\u009f]/.test(value) || !value.isWellFormed()) {
    throw failure("invalid_input", `The field ${name} holds characters that are not allowed.`);
  }
  return value;
}
