/** A person's appointments for any calendar program: whoever knows the secret address may read, so it says little. */

import { type Route, route } from "../_shared/router.ts";
import { appUrl } from "../_shared/settings.ts";
import { callAsService } from "../_shared/upstream.ts";
import { feed, type FeedEvent } from "./ics.ts";

/** An address that never was, one that was replaced and one that is malformed are the same `not_found`. */
async function subscribe(_: Request, params: { readonly file: string }): Promise<Response> {
  const token = /^([\w-]{1,200})\.ics$/.exec(params.file)?.[1] ?? "";
  const found = await callAsService("calendar_feed", { token }) as { readonly events: readonly FeedEvent[] };
  return new Response(feed(found.events, appUrl()), {
    headers: {
      "Content-Type": "text/calendar; charset=utf-8",
      "Content-Disposition": 'inline; filename="calendar.ics"',
      "Cache-Control": "no-store",
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
      "X-Robots-Tag": "noindex",
    },
  });
}

export const feedRoutes: readonly Route[] = [
  route("GET", "/calendar-feed/:file", subscribe),
  route("HEAD", "/calendar-feed/:file", subscribe),
];
