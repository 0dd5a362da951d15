/** Reading what a caller sent: bounded bytes, JSON objects, text fields. Every refusal is `invalid_input`. */

import { failure } from "./errors.ts";

const MAX_BODY_BYTES = 16 * 1024;

export type Fields = Readonly<Record<string, unknown>>;

/** The JSON object in the body, which has at most `limit` bytes. */
export async function readFields(request: Request, limit = MAX_BODY_BYTES): Promise<Fields> {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json") throw failure("invalid_input", "The body has to be application/json.");
  const bytes = await readBytes(request, limit);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw failure("invalid_input", "The body is not valid JSON.");
  }
  if (!isFields(value)) throw failure("invalid_input", "The body has to be a JSON object.");
  return value;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** At most `limit` bytes; what comes after is not even read. */
export async function readBytes(request: Request, limit: number): Promise<Uint8Array<ArrayBuffer>> {
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

/** As `requireText`; undefined when the field is missing or null. */
export function optionalText(fields: Fields, name: string, max: number): string | undefined {
  return isAbsent(fields, name) ? undefined : requireText(fields, name, max);
}

/** A required UUID, in lower case. */
export function requireUuid(fields: Fields, name: string): string {
  const text = requireText(fields, name, 36).toLowerCase();
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) {
    throw failure("invalid_input", `The field ${name} is not an id.`);
  }
  return text;
}

/** A required moment: ISO 8601 with its offset, in the years 1900 to 2999. The database would read many other forms. */
export function requireInstant(fields: Fields, name: string): string {
  const text = requireText(fields, name, 40);
  const form = /^(19|2\d)\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/;
  if (!form.test(text) || Number.isNaN(Date.parse(text.replace(" ", "T")))) {
    throw failure("invalid_input", `The field ${name} has to be a time with its offset, such as 2026-03-01T09:00:00Z.`);
  }
  return text;
}

/** As `requireInstant`; undefined when the field is missing or null. */
export function optionalInstant(fields: Fields, name: string): string | undefined {
  return isAbsent(fields, name) ? undefined : requireInstant(fields, name);
}

/** A whole number that the database's integers can hold; undefined when the field is missing or null. */
export function optionalInteger(fields: Fields, name: string): number | undefined {
  if (isAbsent(fields, name)) return undefined;
  const value = fields[name];
  if (typeof value !== "number" || !Number.isInteger(value) || Math.abs(value) > 2 ** 31 - 1) {
    throw failure("invalid_input", `The field ${name} has to be a whole number.`);
  }
  return value;
}

/** A required JSON object whose values are texts or null; what they may be is the database's to say. */
export function requireTexts(fields: Fields, name: string): Readonly<Record<string, string | null>> {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (!isFields(value)) throw failure("invalid_input", `The field ${name} has to be an object.`);
  for (const text of Object.values(value)) {
    // NUL and half a surrogate pair cannot be stored.
    if (text !== null && (typeof text !== "string" || text.includes("\0") || !text.isWellFormed())) {
      throw failure("invalid_input", `The field ${name} has to hold texts.`);
    }
  }
  return value as Record<string, string | null>;
}

function isAbsent(fields: Fields, name: string): boolean {
  return !Object.hasOwn(fields, name) || fields[name] === undefined || fields[name] === null;
}
