/**
 * A visitor with the real JavaScript client: sees the card and the slots, books, looks, moves and cancels.
 *
 * Reads `{api_url, anon_key, professional_id, booking_slug, from_date, to_date}` from standard input; writes what it saw.
 */

import { createClient } from "@supabase/supabase-js";

const plan = JSON.parse(await new Response(Deno.stdin.readable).text()) as Record<string, string>;
const client = createClient(plan["api_url"] ?? "", plan["anon_key"] ?? "", {
  auth: { persistSession: false, autoRefreshToken: false },
});
const slots = await client.rpc("available_slots", {
  professional_id: plan["professional_id"],
  from_date: plan["from_date"],
  to_date: plan["to_date"],
});
const [first, second] = slots.data as { slot_start: string }[];
const booked = await client.functions.invoke("api/appointments/public", {
  body: {
    booking_slug: plan["booking_slug"],
    starts_at: first?.slot_start,
    client: { client_name: "Zawadi", client_email: "zawadi@example.org" },
  },
});
const token = booked.data?.manage_token as string;
const looked = await client.rpc("booking_by_token", { token });
const moved = await client.rpc("reschedule_booking", { token, starts_at: second?.slot_start });
const cancelled = await client.rpc("cancel_booking", { token, reason: "Travelling" });
const seen = {
  slots: [first?.slot_start, second?.slot_start],
  errors: [slots, booked, looked, moved, cancelled].map(({ error }) => error),
  booked: booked.data,
  looked: looked.data,
  moved: moved.data,
  cancelled: cancelled.data,
};
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(seen)));
