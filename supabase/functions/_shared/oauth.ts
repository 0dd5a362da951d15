/**
 * OAuth 2.0 with Google and Microsoft: the consent page, the state that leads back from it, the exchange of the code.
 *
 * Authorization code with PKCE (S256). Scopes are the least that writing and reading events needs, and access while the
 * person is away. Of what a provider answers nothing but tokens is kept, and nothing at all is passed on.
 */

import { failure } from "./errors.ts";

export type OAuthProvider = "google" | "microsoft";

interface Registration {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly authorize: string;
  readonly token: string;
  /** Where the account can be asked for a name to recognise it by. */
  readonly account: string;
  /** All of them have to be granted. */
  readonly scopes: readonly string[];
  readonly extra: Readonly<Record<string, string>>;
}

export interface Tokens {
  readonly access_token: string;
  readonly refresh_token: string;
  /** Seconds since 1970. */
  readonly expires_at: number;
}

/** Why a person comes back without a calendar; told to the app as `reason`. */
export type Refusal = "access_denied" | "invalid_state" | "exchange_failed" | "scope_missing" | "unavailable";

export class OAuthFailed extends Error {
  override readonly name = "OAuthFailed";
  constructor(readonly reason: Refusal) {
    super(reason);
  }
}

const MILLISECONDS = 10_000;
const MAX_ANSWER = 64 * 1024;
const GOOGLE_SCOPE = "https://www.googleapis.com/auth/calendar.events";
const MICROSOFT_SCOPE = "https://graph.microsoft.com/Calendars.ReadWrite";

/** This project at the provider; `unavailable` where the operator has not registered it. */
export function registration(provider: OAuthProvider): Registration {
  const prefix = `SAUTI_${provider.toUpperCase()}`;
  const clientId = Deno.env.get(`${prefix}_CLIENT_ID`);
  const clientSecret = Deno.env.get(`${prefix}_CLIENT_SECRET`);
  if (!clientId || !clientSecret) {
    throw failure("unavailable", "This server is not registered with that provider.", {
      hint: "The people who run this server have to register it and set its client id and secret.",
    });
  }
  const oauth = address(`${prefix}_OAUTH_URL`);
  const api = address(`${prefix}_API_URL`);
  if (provider === "google") {
    return {
      clientId,
      clientSecret,
      authorize: `${oauth ?? "https://accounts.google.com"}/o/oauth2/v2/auth`,
      token: `${oauth ?? "https://oauth2.googleapis.com"}/token`,
      account: `${
        api ?? "https://www.googleapis.com"
      }/calendar/v3/calendars/primary/events?maxResults=1&fields=summary`,
      scopes: [GOOGLE_SCOPE],
      // Without `consent` a second connection of the same account gets no refresh token.
      extra: { access_type: "offline", prompt: "consent", include_granted_scopes: "false" },
    };
  }
  const base = `${oauth ?? "https://login.microsoftonline.com"}/common/oauth2/v2.0`;
  return {
    clientId,
    clientSecret,
    authorize: `${base}/authorize`,
    token: `${base}/token`,
    account: `${api ?? "https://graph.microsoft.com"}/v1.0/me/calendar?$select=owner`,
    scopes: [MICROSOFT_SCOPE],
    extra: { prompt: "select_account", response_mode: "query" },
  };
}

function address(variable: string): string | null {
  const text = Deno.env.get(variable);
  return text ? text.replace(/\/+$/, "") : null;
}

/** The consent page for this state and the challenge of this verifier. */
export async function consentUrl(
  provider: OAuthProvider,
  redirectUri: string,
  state: string,
  verifier: string,
): Promise<string> {
  const { authorize, clientId, scopes, extra } = registration(provider);
  const url = new URL(authorize);
  const scope = provider === "microsoft" ? ["offline_access", ...scopes] : scopes;
  const fields = {
    ...extra,
    response_type: "code",
    client_id: clientId,
    redirect_uri: redirectUri,
    scope: scope.join(" "),
    state,
    code_challenge: base64Url(await digest(verifier)),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(fields)) url.searchParams.set(name, value);
  return url.href;
}

/** Tokens for a code. Throws `OAuthFailed`. */
export async function exchangeCode(
  provider: OAuthProvider,
  redirectUri: string,
  code: string,
  verifier: string,
): Promise<Tokens> {
  const { token, clientId, clientSecret, scopes } = registration(provider);
  const began = Math.floor(Date.now() / 1000);
  const answer = await ask(token, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUri,
      client_id: clientId,
      client_secret: clientSecret,
      code_verifier: verifier,
    }),
  });
  const { access_token, refresh_token, expires_in, scope } = answer;
  // A person may untick a permission on the consent page.
  const granted = new Set(typeof scope === "string" ? scope.toLowerCase().split(" ") : []);
  const short = (name: string) => name.toLowerCase().replace("https://graph.microsoft.com/", "");
  if (!scopes.every((name) => granted.has(name.toLowerCase()) || granted.has(short(name)))) {
    throw new OAuthFailed("scope_missing");
  }
  if (typeof access_token !== "string" || typeof refresh_token !== "string") throw new OAuthFailed("exchange_failed");
  return { access_token, refresh_token, expires_at: began + (typeof expires_in === "number" ? expires_in : 3600) };
}

/** A name by which the owner recognises the account: its calendar's title, or its address. */
export async function accountLabel(provider: OAuthProvider, tokens: Tokens): Promise<string> {
  const answer = await ask(registration(provider).account, {
    headers: { authorization: `Bearer ${tokens.access_token}`, accept: "application/json" },
  });
  const owner = answer["owner"] as { address?: unknown } | null | undefined;
  const label = provider === "google" ? answer["summary"] : owner?.address;
  // deno-lint-ignore no-control-regex
  const clean = typeof label === "string" ? label.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ").trim() : "";
  return clean.isWellFormed() && clean !== "" ? clean.slice(0, 200).trim() : provider;
}

async function ask(url: string, init: RequestInit): Promise<Record<string, unknown>> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { ...init, redirect: "error", signal: AbortSignal.timeout(MILLISECONDS) });
    text = await response.text();
  } catch {
    throw new OAuthFailed("unavailable");
  }
  if (response.status === 429 || response.status >= 500) throw new OAuthFailed("unavailable");
  if (!response.ok || text.length > MAX_ANSWER) throw new OAuthFailed("exchange_failed");
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Fall through: no object is no answer.
  }
  throw new OAuthFailed("exchange_failed");
}

/** 32 random bytes, base64url: a verifier of PKCE, a state. */
export function randomText(): string {
  return base64Url(crypto.getRandomValues(new Uint8Array(32)));
}

export async function digest(text: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

export function base64Url(bytes: Uint8Array): string {
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
