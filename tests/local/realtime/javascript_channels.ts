/**
 * Two clients of the real JavaScript library in one room: broadcast in both directions, bytes, presence, row changes.
 *
 * Reads a plan (one line of JSON) from standard input and writes one line of JSON per step, `{"step", …what it saw}`.
 * After the step `listening` it waits for a row and for a broadcast, which whoever started it has to cause.
 */

import { createClient, type RealtimeChannel, type SupabaseClient } from "@supabase/supabase-js";

interface Plan {
  readonly url: string;
  readonly anon_key: string;
  readonly tokens: readonly [string, string];
}

type Heard = { event: string; payload: unknown };

const encoder = new TextEncoder();
const plan = JSON.parse(await new Response(Deno.stdin.readable).text()) as Plan;

function report(step: string, seen: Record<string, unknown>): void {
  Deno.stdout.writeSync(encoder.encode(`${JSON.stringify({ step, ...seen })}\n`));
}

function client(token: string): SupabaseClient {
  return createClient(plan.url, plan.anon_key, { accessToken: () => Promise.resolve(token) });
}

function join(channel: RealtimeChannel): Promise<string> {
  return new Promise((resolve) => channel.subscribe((status, error) => resolve(error?.message ?? status)));
}

function once<Event>(listen: (take: (event: Event) => void) => void): Promise<Event> {
  return new Promise((resolve) => listen(resolve));
}

const [ada, ben] = plan.tokens.map(client);
await Promise.all([ada.realtime.setAuth(), ben.realtime.setAuth()]);
const config = (key: string) => ({ config: { private: true, broadcast: { ack: true }, presence: { key } } });
const adaRoom = ada.channel("room", config("ada"));
const benRoom = ben.channel("room", config("ben"));
const heard = (event: string) => once<Heard>((take) => benRoom.on("broadcast", { event }, take as never));
const [wave, bytes, overHttp, answer] = ["wave", "bytes", "http", "answer"].map(heard);
const present = once<void>((take) =>
  benRoom.on("presence", { event: "sync" }, () => Object.keys(benRoom.presenceState()).includes("ada") && take())
);
adaRoom.on("presence", { event: "sync" }, () => undefined);
const row = once<{ new: Record<string, unknown> }>((take) =>
  benRoom.on("postgres_changes", { event: "INSERT", schema: "public", table: "notes", filter: "amount=gt.5" }, take)
);
report("joined", { answers: await Promise.all([join(adaRoom), join(benRoom)]) });

const sent = await adaRoom.send({ type: "broadcast", event: "wave", payload: { text: "é \u{1F600}" } });
const sentBytes = await adaRoom.send({ type: "broadcast", event: "bytes", payload: new Uint8Array([0, 255, 7]).buffer });
await adaRoom.httpSend("http", { n: 1 });
const received = (await bytes).payload as ArrayBuffer;
report("broadcast", {
  acknowledged: [sent, sentBytes],
  wave: (await wave).payload,
  bytes: [...new Uint8Array(received)],
  http: (await overHttp).payload,
});

const tracked = await adaRoom.track({ mood: "calm" });
await present;
report("presence", { tracked, state: benRoom.presenceState() });

report("listening", {});
report("live", { row: (await row).new, answer: (await answer).payload });

const left = [await adaRoom.unsubscribe(), await benRoom.unsubscribe()];
report("left", { answers: left });
Deno.exit(0);
