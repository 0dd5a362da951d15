/**
 * A feed of appointments as iCalendar (RFC 5545, RFC 7986). Pure: facts in, text out.
 *
 * As neutral as every other calendar entry: "Appointment", the case code, the link. Times are UTC (`Z`) and each session
 * of a series is an event of its own, so no VTIMEZONE is needed. `sauti_sync/ics.py` writes the same entries for mail and
 * for connected calendars; UID and SEQUENCE are the database's, so that the two are the same event.
 */

export interface FeedEvent {
  readonly uid: string;
  readonly sequence: number;
  readonly starts_at: string;
  readonly ends_at: string;
  readonly status: string;
  readonly revised_at: string;
  readonly created_at: string;
  readonly case_code: string | null;
}

const MAX_OCTETS = 75;
const STATUS: Readonly<Record<string, string>> = { requested: "TENTATIVE", cancelled: "CANCELLED" };

/** The whole calendar, lines ended by CRLF and folded. `link` is added to each entry. */
export function feed(events: readonly FeedEvent[], link: string | null): string {
  const lines = [
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Appointment//Appointment//EN",
    "CALSCALE:GREGORIAN",
    "METHOD:PUBLISH",
    "NAME:Appointments",
    "X-WR-CALNAME:Appointments",
    "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
    "X-PUBLISHED-TTL:PT1H",
    ...events.flatMap((event) => entry(event, link)),
    "END:VCALENDAR",
  ];
  return lines.map((line) => `${fold(line)}\r\n`).join("");
}

function entry(event: FeedEvent, link: string | null): string[] {
  const description = [event.case_code === null ? null : `Case: ${event.case_code}`, link].filter((line) =>
    line !== null
  );
  return [
    "BEGIN:VEVENT",
    `UID:${escape(event.uid)}`,
    `SEQUENCE:${event.sequence}`,
    `DTSTAMP:${utc(event.revised_at)}`,
    `CREATED:${utc(event.created_at)}`,
    `LAST-MODIFIED:${utc(event.revised_at)}`,
    `DTSTART:${utc(event.starts_at)}`,
    `DTEND:${utc(event.ends_at)}`,
    `STATUS:${STATUS[event.status] ?? "CONFIRMED"}`,
    "CLASS:PRIVATE",
    `TRANSP:${event.status === "cancelled" ? "TRANSPARENT" : "OPAQUE"}`,
    "SUMMARY:Appointment",
    ...(description.length > 0 ? [`DESCRIPTION:${escape(description.join("\n"))}`] : []),
    ...(link === null ? [] : [`URL:${link}`]),
    "END:VEVENT",
  ];
}

/** `20261122T090000Z`; fractions of seconds do not exist in iCalendar. */
function utc(moment: string): string {
  return new Date(moment).toISOString().replace(/\.\d{3}/, "").replaceAll(/[-:]/g, "");
}

/** A TEXT value: backslash, semicolon, comma and line breaks escaped, other control characters gone. */
export function escape(text: string): string {
  return text
    .replaceAll(/\r\n?/g, "\n")
    // deno-lint-ignore no-control-regex
    .replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, "")
    .replaceAll(/[\\;,]/g, "\\$&")
    .replaceAll("\n", "\\n");
}

/** Lines of at most 75 octets, never cut within a character; what follows begins with a space. */
export function fold(line: string): string {
  const encoder = new TextEncoder();
  const parts: string[] = [];
  let part = "";
  let octets = 0;
  for (const character of line) {
    const size = encoder.encode(character).byteLength;
    if (octets + size > MAX_OCTETS) {
      parts.push(part);
      part = " ";
      octets = 1;
    }
    part += character;
    octets += size;
  }
  return [...parts, part].join("\r\n");
}
