/** The project's own services, through its gateway: who is calling (Auth), and the one RPC a function ends in. */

import { type ErrorBody, failure, RequestError } from "./errors.ts";
import { logError } from "./log.ts";
import { project } from "./settings.ts";

const TIMEOUT_MILLISECONDS = 10_000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export interface User {
  readonly id: string;
  /** The verified access token: RPCs made with it run as this user, under row-level security. */
  readonly accessToken: string;
}

export function isUuid(text: string): boolean {
  return UUID.test(text.toLowerCase());
}

/**
 * The person who calls. The Auth server is asked each time, so a token of a session that was signed out is refused.
 * The keys of the project are valid tokens but no person: `not_authenticated`.
 */
export async function requireUser(request: Request): Promise<User> {
  const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (token === undefined) throw failure("not_authenticated", "This address is for signed-in users.");
  const { url, publishableKey } = project();
  const response = await send(`${url}/auth/v1/user`, {
    headers: { apikey: publishableKey, authorization: `Bearer ${token}` },
  });
  const user = await readObject(response);
  if (response.status === 429) throw failure("too_many_requests", "Too many requests in a short time.");
  if (response.status >= 500) throw failure("unavailable", "Sign-in cannot be checked at the moment.");
  const id = user?.["id"];
  if (!response.ok || user?.["role"] !== "authenticated" || typeof id !== "string" || !isUuid(id)) {
    throw failure("not_authenticated", "The session is not valid, or not any more.");
  }
  return { id: id.toLowerCase(), accessToken: token };
}

/** Whether somebody claims to be signed in: the claim is not checked here, the keys of the project are none. */
export function bringsSession(request: Request): boolean {
  const payload = /^Bearer [\w-]+\.([\w-]+)\.[\w-]+$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (payload === undefined) return false;
  try {
    const claims: unknown = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
    return typeof claims === "object" && claims !== null && (claims as { role?: unknown }).role === "authenticated";
  } catch {
    return true; // no token of ours: whoever checks it refuses it
  }
}

/**
 * Where a visitor is, as the nearest proxy saw it. What a client wrote into `x-forwarded-for` itself stands further left.
 */
export function visitorAddress(request: Request): string | null {
  const seen = request.headers.get("cf-connecting-ip") ?? request.headers.get("x-forwarded-for")?.split(",").at(-1);
  const address = seen?.trim() ?? "";
  return /^[0-9A-Fa-f:.]{2,45}$/.test(address) ? address : null;
}

/** Calls an RPC as the user; its answer as JSON, null when it gives nothing back. */
export function callAsUser(user: User, name: string, parameters: Record<string, unknown>): Promise<unknown> {
  return call(name, parameters, { apikey: project().publishableKey, authorization: `Bearer ${user.accessToken}` });
}

/** Calls an RPC that a visitor may call, and tells it where the visitor is, which it believes the service role alone. */
export function callForVisitor(
  request: Request,
  name: string,
  parameters: Record<string, unknown>,
): Promise<unknown> {
  const address = visitorAddress(request);
  return callAsService(name, parameters, address === null ? {} : { "x-sauti-visitor-address": address });
}

/** Calls an RPC that only the service role may call. The caller has checked who is asking. */
export function callAsService(
  name: string,
  parameters: Record<string, unknown>,
  more: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const { secretKey } = project();
  const headers: Record<string, string> = { ...more, apikey: secretKey };
  // Newer secret keys are no JWTs: the gateway refuses them as a bearer and makes its own from `apikey`.
  if (secretKey.split(".").length === 3) headers["authorization"] = `Bearer ${secretKey}`;
  return call(name, parameters, headers);
}

async function call(name: string, parameters: Record<string, unknown>, keys: Record<string, string>): Promise<unknown> {
  const response = await send(`${project().url}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: { ...keys, "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(parameters),
  });
  if (response.status === 204) return null;
  const text = await response.text();
  let answer: unknown = null;
  try {
    answer = text === "" ? null : JSON.parse(text);
  } catch {
    throw failure("unavailable", "The database gave no readable answer.");
  }
  if (response.ok) return answer;
  throw databaseError(response.status, answer);
}

/** A registered error of the database goes through as it is; anything else could quote rows, so nothing of it does. */
function databaseError(status: number, answer: unknown): RequestError {
  const body = (typeof answer === "object" && answer !== null ? answer : {}) as Partial<
    Record<keyof ErrorBody, unknown>
  >;
  if (body.code === `PT${status}` && typeof body.message === "string") {
    return new RequestError(status, {
      code: body.code,
      message: body.message,
      details: typeof body.details === "string" ? body.details : null,
      hint: typeof body.hint === "string" ? body.hint : null,
    });
  }
  if (status === 401) return failure("not_authenticated", "The session is not valid, or not any more.");
  if (status === 429) return failure("too_many_requests", "Too many requests in a short time.");
  if (status === 502 || status === 503 || status === 504) {
    return failure("unavailable", "The database cannot be reached at the moment.");
  }
  if (typeof body.code === "string" && /^22[0-9A-Z]{3}$/.test(body.code)) {
    return failure("invalid_input", "A value is not in the form that is asked for.");
  }
  // The code alone: a message of Postgres can quote the row.
  const code = typeof body.code === "string" && /^[A-Z0-9]{5,8}$/.test(body.code) ? body.code : null;
  logError("database_error", { status, code });
  return failure("internal_error", "Something went wrong on this server.");
}

async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS) });
  } catch {
    throw failure("unavailable", "A part of this server cannot be reached at the moment.");
  }
}

async function readObject(response: Response): Promise<Record<string, unknown> | null> {
  try {
    const value: unknown = await response.json();
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : null;
  } catch {
    return null;
  }
}
