/**
 * What an app written with the real JavaScript client does, from sign-up to sign-out.
 *
 * Reads a plan (one line of JSON) from standard input and writes one line of JSON per step, `{"step", …what it saw}`.
 * After the step `listening` it waits for live events, which whoever started it has to cause.
 */

import { createClient, type RealtimeChannel, type SupabaseClient } from "@supabase/supabase-js";

interface Plan {
  readonly api_url: string;
  readonly anon_key: string;
  readonly calendar_url: string;
  readonly marker: string;
}

const encoder = new TextEncoder();
const plan = JSON.parse(await new Response(Deno.stdin.readable).text()) as Plan;

function report(step: string, seen: Record<string, unknown>): void {
  Deno.stdout.writeSync(encoder.encode(`${JSON.stringify({ step, ...seen })}\n`));
}

function client(): SupabaseClient {
  return createClient(plan.api_url, plan.anon_key, { auth: { persistSession: false, autoRefreshToken: false } });
}

/** The first event that a channel's handler is given. */
function first<Event>(listen: (take: (event: Event) => void) => void): Promise<Event> {
  return new Promise((resolve) => listen(resolve));
}

/** How a join ended. */
function join(channel: RealtimeChannel): Promise<{ status: string; reason: string | null }> {
  return new Promise((resolve) =>
    channel.subscribe((status, error) => resolve({ status, reason: error?.message ?? null }))
  );
}

const INCIDENT = { incident_type: "stalking", urgency: "high", required_services: ["counseling"] };

// An account with an address.
const ada = client();
const signedUp = await ada.auth.signUp({
  email: `ada-${plan.marker}@example.com`,
  password: "correct horse battery",
  options: { data: { display_name: "Ada" } },
});
const adaId = signedUp.data.user?.id ?? "";
report("sign_up", {
  error: signedUp.error?.message ?? null,
  id: adaId,
  role: signedUp.data.user?.role,
  session: signedUp.data.session !== null,
});
const profile = await ada.from("profiles").select("id, user_type, display_name").single();
report("profile", { error: profile.error, row: profile.data });

// An account without one, which becomes permanent and keeps everything.
const ben = client();
const anonymous = await ben.auth.signInAnonymously();
const benId = anonymous.data.user?.id ?? "";
const before = await ben.from("reports").insert(INCIDENT).select("report_id, user_id, status, case_code").single();
report("anonymous", {
  error: anonymous.error?.message ?? null,
  is_anonymous: anonymous.data.user?.is_anonymous,
  insert: before.error,
  report: before.data,
});
const benAddress = { email: `ben-${plan.marker}@example.com`, password: "a horse of course" };
const upgraded = await ben.auth.updateUser(benAddress);
const benAgain = client();
const signedIn = await benAgain.auth.signInWithPassword(benAddress);
const kept = await benAgain.from("reports").select("report_id, user_id");
report("upgrade", {
  error: upgraded.error?.message ?? signedIn.error?.message ?? null,
  before: benId,
  after: signedIn.data.user?.id,
  is_anonymous: signedIn.data.user?.is_anonymous,
  reports: kept.data,
});

// Rows: one's own, and nobody else's.
const inserted = await ada.from("reports").insert({ ...INCIDENT, survivor_name: "Ada" }).select().single();
const own = await ada.from("reports").select("report_id, user_id", { count: "exact" });
const foreign = await ada.from("reports").select("report_id").eq("user_id", benId);
const stranger = await client().from("reports").select("report_id");
report("reports", {
  error: inserted.error ?? own.error,
  inserted: inserted.data?.report_id,
  own: own.data,
  count: own.count,
  foreign: foreign.data,
  stranger: stranger.data?.length ?? stranger.error?.code,
});

const refused = await ada.rpc("request_support", { report_id: "00000000-0000-4000-8000-000000000000" });
report("rpc_error", { status: refused.status, error: refused.error && { ...refused.error } });

// The Edge Function, through the client's own door to it.
const calendar = { url: plan.calendar_url, username: "ada", password: "sauti" };
const connected = await ada.functions.invoke("api/calendar/caldav", { body: calendar });
const wrong = await ada.functions.invoke("api/calendar/caldav", { body: { ...calendar, password: "wrong" } });
const removed = await ada.functions.invoke(`api/calendar/${connected.data?.id}`, { method: "DELETE" });
report("functions", {
  error: connected.error?.message ?? removed.error?.message ?? null,
  connection: connected.data,
  wrong: await wrong.error?.context?.json(),
});

// Live: a private topic, and changes under row-level security.
await ada.realtime.setAuth();
await benAgain.realtime.setAuth();
const topic = ada.channel(`user:${adaId}`, { config: { private: true } });
const live = first<Record<string, unknown>>((take) => topic.on("broadcast", { event: "*" }, take));
const watch = { event: "INSERT", schema: "public", table: "notifications" } as const;
const adaChanges = ada.channel("changes");
const adaChange = first<{ new: Record<string, unknown> }>((take) => adaChanges.on("postgres_changes", watch, take));
const benChanges = benAgain.channel("changes");
const benChange = first<{ new: Record<string, unknown> }>((take) => benChanges.on("postgres_changes", watch, take));
const joined = await Promise.all([join(topic), join(adaChanges), join(benChanges)]);
const intruder = await join(benAgain.channel(`user:${adaId}`, { config: { private: true } }));
report("listening", { joined, intruder, ada: adaId, ben: benId });
const [event, adaRow, benRow] = await Promise.all([live, adaChange, benChange]);
report("live", { event, ada: adaRow.new, ben: benRow.new });

// The session's life: a new token works, also for the channel; after sign-out nothing does.
const renewed = await ada.auth.refreshSession();
await ada.realtime.setAuth();
const second = first<Record<string, unknown>>((take) => topic.on("broadcast", { event: "*" }, take));
const afterRefresh = await ada.from("reports").select("report_id");
report("refresh", {
  error: renewed.error?.message ?? null,
  // Not the access token: within one second it says the same and is the same.
  renewed: renewed.data.session !== null &&
    renewed.data.session.refresh_token !== signedUp.data.session?.refresh_token,
  reports: afterRefresh.data?.length,
});
report("still_live", { event: await second });

const session = renewed.data.session;
const signedOut = await ada.auth.signOut();
const withOldToken = await ada.auth.getUser(session?.access_token);
const withOldRefresh = await client().auth.refreshSession({ refresh_token: session?.refresh_token ?? "" });
const rows = await ada.from("reports").select("report_id");
report("sign_out", {
  error: signedOut.error?.message ?? null,
  session: (await ada.auth.getSession()).data.session,
  old_token: withOldToken.error?.name,
  old_refresh_token: withOldRefresh.error?.code,
  reports: rows.data?.length ?? rows.error?.code,
});
await Promise.all([ada.removeAllChannels(), benAgain.removeAllChannels()]);
Deno.exit(0);
