/** Reads a JSON array of iCalendar texts from standard input with ical.js and writes what it saw, calendar by calendar. */

import ICAL from "ical.js";

const texts = JSON.parse(await new Response(Deno.stdin.readable).text()) as string[];
const seen = texts.map((text) => {
  const calendar = new ICAL.Component(ICAL.parse(text));
  return {
    method: calendar.getFirstPropertyValue("method"),
    refresh: calendar.getFirstPropertyValue("refresh-interval")?.toString() ?? null,
    events: calendar.getAllSubcomponents("vevent").map((component) => {
      const event = new ICAL.Event(component, { strictExceptions: true });
      return {
        uid: event.uid,
        sequence: event.sequence,
        summary: event.summary,
        description: event.description,
        starts_at: event.startDate.toJSDate().toISOString(),
        ends_at: event.endDate.toJSDate().toISOString(),
        status: component.getFirstPropertyValue("status"),
        stamp: component.getFirstPropertyValue("dtstamp")?.toString(),
        properties: component.getAllProperties().map((property) => property.name),
      };
    }),
  };
});
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(seen)));
