/** Connecting a Google or Microsoft calendar: to the consent page, and back from it. */

import { open, requireTokenKeys, seal } from "../_shared/credentials.ts";
import { failure } from "../_shared/errors.ts";
import { logError } from "../_shared/log.ts";
import {
  accountLabel,
  consentUrl,
  exchangeCode,
  OAuthFailed,
  type OAuthProvider,
  randomText,
  type Refusal,
  registration,
} from "../_shared/oauth.ts";
import { newState, readState, stateHash } from "../_shared/oauth_state.ts";
import { json } from "../_shared/responses.ts";
import { type Handler, type Route, route } from "../_shared/router.ts";
import { appUrl, project } from "../_shared/settings.ts";
import { callAsService, requireUser } from "../_shared/upstream.ts";

/** Where the provider sends the browser back; registered with it word for word. */
function redirectUri(provider: OAuthProvider): string {
  return `${project().url}/functions/v1/api/auth/${provider}-calendar/callback`;
}

/** → `{url}`, the consent page. The state in it is good once, for a few minutes, for this user. */
function begin(provider: OAuthProvider): Handler {
  return async (request) => {
    const user = await requireUser(request);
    registration(provider);
    if (appUrl() === null) throw failure("unavailable", "This server does not know where its app is.");
    await requireTokenKeys();
    const verifier = randomText();
    const state = await newState(user.id, provider);
    await callAsService("begin_calendar_oauth", {
      user_id: user.id,
      provider,
      state_hash: await stateHash(state),
      verifier: await seal({ verifier }, { userId: user.id, provider }),
    });
    return json({ url: await consentUrl(provider, redirectUri(provider), state, verifier) });
  };
}

/** → 302 to the app, whatever happened: a browser is on the other side, and the app alone may be named. */
function comeBack(provider: OAuthProvider): Handler {
  return async (request) => {
    const app = appUrl();
    if (app === null) throw failure("unavailable", "This server does not know where its app is.");
    try {
      await connect(provider, new URL(request.url).searchParams);
      return toApp(app, { calendar: "connected" });
    } catch (error) {
      const reason: Refusal = error instanceof OAuthFailed ? error.reason : "unavailable";
      if (!(error instanceof OAuthFailed)) {
        logError("oauth_failed", { error: error instanceof Error ? error.name : typeof error });
      }
      return toApp(app, { calendar: "error", reason });
    }
  };
}

async function connect(provider: OAuthProvider, query: URLSearchParams): Promise<void> {
  const state = query.get("state") ?? "";
  const signedFor = await readState(state, provider);
  if (signedFor === null) throw new OAuthFailed("invalid_state");
  // Taken out before anything else, also when the person said no: a state is for one return.
  const taken = await callAsService("take_calendar_oauth", { provider, state_hash: await stateHash(state) }) as
    | { user_id: string; verifier: string }
    | null;
  if (taken === null || taken.user_id !== signedFor) throw new OAuthFailed("invalid_state");
  if (query.has("error")) {
    throw new OAuthFailed(query.get("error") === "access_denied" ? "access_denied" : "exchange_failed");
  }
  const code = query.get("code") ?? "";
  if (code === "" || code.length > 4096) throw new OAuthFailed("exchange_failed");

  const owner = { userId: signedFor, provider };
  const { verifier } = await open(taken.verifier, owner);
  const tokens = await exchangeCode(provider, redirectUri(provider), code, String(verifier));
  await callAsService("store_calendar_connection", {
    user_id: signedFor,
    provider,
    account_label: await accountLabel(provider, tokens),
    calendar_id: "primary",
    credentials: await seal({ ...tokens }, owner),
  });
}

function toApp(app: string, outcome: Readonly<Record<string, string>>): Response {
  const url = new URL(app);
  for (const [name, value] of Object.entries(outcome)) url.searchParams.set(name, value);
  return new Response(null, {
    status: 302,
    // The address that brought the browser here holds a code: it is told to nobody.
    headers: { Location: url.href, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer" },
  });
}

export const oauthRoutes: readonly Route[] = [
  route("GET", "/api/auth/google-calendar", begin("google")),
  route("GET", "/api/auth/google-calendar/callback", comeBack("google")),
  route("GET", "/api/auth/microsoft-calendar", begin("microsoft")),
  route("GET", "/api/auth/microsoft-calendar/callback", comeBack("microsoft")),
];
