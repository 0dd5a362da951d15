/** Appointments: a professional accepts a case by making one, a visitor books one. */

import {
  optionalInstant,
  optionalInteger,
  optionalText,
  readFields,
  requireInstant,
  requireText,
  requireTexts,
  requireUuid,
} from "../_shared/body.ts";
import { requireCaptcha } from "../_shared/captcha.ts";
import { json } from "../_shared/responses.ts";
import { type Route, route } from "../_shared/router.ts";
import { bringsSession, callAsUser, callForVisitor, requireUser, visitorAddress } from "../_shared/upstream.ts";

/** A field that a page hides from people: whoever fills it in is a program. */
const HONEYPOT = "website";
/** The longest message a client can leave, every character written as an escape, and the rest. */
const MAX_BOOKING_BYTES = 64 * 1024;

/** `{match_id, mode, starts_at?, duration_minutes?, appointment_type?}` → the appointment row. */
async function acceptMatch(request: Request): Promise<Response> {
  const user = await requireUser(request);
  const fields = await readFields(request);
  const row = await callAsUser(user, "accept_match", {
    match_id: requireUuid(fields, "match_id"),
    mode: requireText(fields, "mode", 40),
    starts_at: optionalInstant(fields, "starts_at"),
    duration_minutes: optionalInteger(fields, "duration_minutes"),
    appointment_type: optionalText(fields, "appointment_type", 60),
  });
  return json(row);
}

/**
 * `{booking_slug, starts_at, duration_minutes?, appointment_type?, client, captcha_token?, website?}` →
 * `{appointment_id, manage_token}`. `client` = `{client_name, client_email, …}`. A signed-in survivor books as such.
 */
async function book(request: Request): Promise<Response> {
  const fields = await readFields(request, MAX_BOOKING_BYTES);
  // A program that gives itself away learns nothing, and writes nothing.
  if (fields[HONEYPOT] !== undefined && fields[HONEYPOT] !== null && fields[HONEYPOT] !== "") return json(pretence());
  const booking = {
    booking_slug: requireText(fields, "booking_slug", 200),
    starts_at: requireInstant(fields, "starts_at"),
    duration_minutes: optionalInteger(fields, "duration_minutes") ?? 60,
    appointment_type: optionalText(fields, "appointment_type", 60) ?? "consultation",
    client: requireTexts(fields, "client"),
  };
  await requireCaptcha(fields, visitorAddress(request));
  const booked = bringsSession(request)
    ? await callAsUser(await requireUser(request), "book_appointment", booking)
    : await callForVisitor(request, "book_appointment", booking);
  return json(booked);
}

/** What a booking gives back, of nothing. */
function pretence(): Record<string, string> {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const token = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return {
    appointment_id: crypto.randomUUID(),
    manage_token: token.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""),
  };
}

export const appointmentRoutes: readonly Route[] = [
  route("POST", "/api/appointments", acceptMatch),
  route("POST", "/api/appointments/public", book),
];
