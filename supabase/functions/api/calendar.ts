/** Calendar connections: CalDAV servers are connected with a user name and a password; and what is to be written now. */

import { readFields, requireText, requireUuid } from "../_shared/body.ts";
import { calendarUrl, verifyCalendar } from "../_shared/caldav.ts";
import { requireTokenKeys, seal } from "../_shared/credentials.ts";
import { failure } from "../_shared/errors.ts";
import { json, noContent } from "../_shared/responses.ts";
import { type Route, route } from "../_shared/router.ts";
import { privateCalendarsAllowed } from "../_shared/settings.ts";
import { callAsService, callAsUser, isUuid, requireUser } from "../_shared/upstream.ts";

/** Lengths that the database keeps. */
const MAX_URL = 1000;
const MAX_LABEL = 200;

/** `{url, username, password}` → the connection row. `url` is the calendar collection. */
async function connectCalDav(request: Request): Promise<Response> {
  const user = await requireUser(request);
  const fields = await readFields(request);
  const allowPrivate = privateCalendarsAllowed();
  const url = calendarUrl(requireText(fields, "url", MAX_URL), allowPrivate);
  const username = requireText(fields, "username", 255);
  const password = requireText(fields, "password", 1000);
  // Characters that a URL has to escape make it longer than it was.
  if (url.href.length > MAX_URL) throw failure("invalid_input", "The field url is too long.");
  if (username.includes(":")) throw failure("invalid_input", "The field username may not hold a colon.");
  await requireTokenKeys();

  const credentials = { url: url.href, username, password };
  await verifyCalendar(credentials, allowPrivate);
  const row = await callAsService("store_calendar_connection", {
    user_id: user.id,
    provider: "caldav",
    account_label: url.hostname.slice(0, MAX_LABEL),
    calendar_id: url.href,
    credentials: await seal(credentials, { userId: user.id, provider: "caldav" }),
  });
  return json(Array.isArray(row) ? row[0] : row);
}

/** `{appointment_id}` → `{queued}`: how many of the caller's calendars will be written. */
async function pushEvent(request: Request): Promise<Response> {
  const user = await requireUser(request);
  const fields = await readFields(request);
  const appointmentId = requireUuid(fields, "appointment_id");
  return json(await callAsUser(user, "push_calendar_event", { appointment_id: appointmentId }));
}

/** Another person's connection and one that is not there are the same `not_found`. */
async function deleteConnection(request: Request, params: { readonly connection_id: string }): Promise<Response> {
  const user = await requireUser(request);
  if (!isUuid(params.connection_id)) throw failure("not_found", "There is no such calendar connection.");
  await callAsUser(user, "delete_calendar_connection", { connection_id: params.connection_id });
  return noContent();
}

export const calendarRoutes: readonly Route[] = [
  route("POST", "/api/calendar/caldav", connectCalDav),
  route("POST", "/api/calendar/create-event", pushEvent),
  route("DELETE", "/api/calendar/:connection_id", deleteConnection),
];
