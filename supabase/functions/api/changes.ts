/**
 * Where Google and Microsoft tell that a calendar has changed. The whole world reaches these addresses: what comes is
 * believed with the random token of its channel, and leads to no more than a reading of that calendar.
 *
 * Whatever is not believed, for whichever reason, gets one and the same `not_found`.
 */

import { readBytes } from "../_shared/body.ts";
import { failure } from "../_shared/errors.ts";
import { json, noContent, plainText } from "../_shared/responses.ts";
import { type Route, route } from "../_shared/router.ts";
import { sha256 } from "../_shared/signature.ts";
import { callAsService, isUuid } from "../_shared/upstream.ts";

/** Graph puts a few hundred bytes into each message, and gathers messages. */
const MAX_BODY_BYTES = 64 * 1024;
const MAX_NOTICES = 100;
const TOKEN = /^[\w-]{43}$/;

interface Notice {
  readonly channel_id: string;
  readonly token_hash: string;
  readonly resource_id: string;
  readonly message: number | null;
  readonly state: "sync" | "exists" | "lost";
}

/** Everything that Google says is in headers; there is no body to read. */
async function fromGoogle(request: Request): Promise<Response> {
  const header = (name: string) => request.headers.get(`x-goog-${name}`) ?? "";
  const number = header("message-number");
  const state = header("resource-state");
  if (!/^\d{1,15}$/.test(number) || !["sync", "exists", "not_exists"].includes(state)) throw unknown();
  const notice = await noticeOf(
    header("channel-id"),
    header("channel-token"),
    header("resource-id"),
    Number(number),
    state === "sync" ? "sync" : "exists",
  );
  return await tell("google", notice === null ? [] : [notice]);
}

/** `{value: [{subscriptionId, clientState, lifecycleEvent?}]}`; before a subscription is made, the address is asked for an echo. */
async function fromMicrosoft(request: Request): Promise<Response> {
  const echo = new URL(request.url).searchParams.get("validationToken");
  if (echo !== null) {
    if (echo === "" || echo.length > 2048) throw unknown();
    return plainText(echo);
  }
  const notices = [];
  for (const item of valuesOf(await readBytes(request, MAX_BODY_BYTES))) {
    const [channelId = "", token = "", ...rest] = textOf(item["clientState"]).split(".");
    if (rest.length > 0) continue;
    // The subscription has ended or is about to: another one is opened with the next reading.
    const isLost = ["subscriptionRemoved", "reauthorizationRequired"].includes(textOf(item["lifecycleEvent"]));
    const notice = await noticeOf(channelId, token, textOf(item["subscriptionId"]), null, isLost ? "lost" : "exists");
    if (notice !== null) notices.push(notice);
  }
  return await tell("microsoft", notices);
}

async function tell(provider: "google" | "microsoft", notices: readonly Notice[]): Promise<Response> {
  if (notices.length === 0) throw unknown();
  const believed = await callAsService("notice_calendar_changes", { provider, notices });
  if (believed === 0) throw unknown();
  // Microsoft waits for 202, Google takes any success.
  return provider === "google" ? noContent() : json({}, 202);
}

/** Null for what cannot be one of ours, which is not even looked up. */
async function noticeOf(
  channelId: string,
  token: string,
  resourceId: string,
  message: number | null,
  state: Notice["state"],
): Promise<Notice | null> {
  if (!isUuid(channelId) || !TOKEN.test(token) || !/^[\x21-\x7e]{1,500}$/.test(resourceId)) return null;
  // Only the hash goes on: the database compares hashes, and keeps no token that a reader of it could use.
  const hash = await sha256(new TextEncoder().encode(token));
  return { channel_id: channelId.toLowerCase(), token_hash: hash, resource_id: resourceId, message, state };
}

function valuesOf(body: Uint8Array<ArrayBuffer>): readonly Record<string, unknown>[] {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    const values: unknown = (parsed as { value?: unknown } | null)?.value;
    if (!Array.isArray(values)) return [];
    return values.slice(0, MAX_NOTICES).filter((value) => typeof value === "object" && value !== null);
  } catch {
    return [];
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function unknown(): Error {
  return failure("not_found", "There is nothing at this address.");
}

export const changeRoutes: readonly Route[] = [
  route("POST", "/api/calendar/google/changes", fromGoogle),
  route("POST", "/api/calendar/microsoft/changes", fromMicrosoft),
];
