/** What the platform and the operator put in the environment. Read per request, so that a changed secret counts. */

import { failure } from "./errors.ts";

export interface Project {
  /** Address of the project's gateway, without a slash at the end. */
  readonly url: string;
  /** Opens the gateway for user tokens; no power of its own. */
  readonly publishableKey: string;
  /** Passes row-level security: for RPCs that only the service role may call. */
  readonly secretKey: string;
}

export function project(): Project {
  const url = Deno.env.get("SUPABASE_URL")?.replace(/\/+$/, "");
  const publishableKey = namedKey("SUPABASE_PUBLISHABLE_KEYS") ?? Deno.env.get("SUPABASE_ANON_KEY");
  const secretKey = namedKey("SUPABASE_SECRET_KEYS") ?? Deno.env.get("SUPABASE_SERVICE_ROLE_KEY");
  if (!url || !publishableKey || !secretKey) {
    throw failure("unavailable", "This server is not set up completely.");
  }
  return { url, publishableKey, secretKey };
}

/** Newer projects carry their keys as a JSON object by name; older ones have the two variables read above. */
function namedKey(variable: string): string | undefined {
  try {
    const keys: unknown = JSON.parse(Deno.env.get(variable) ?? "null");
    const key = typeof keys === "object" && keys !== null ? (keys as Record<string, unknown>)["default"] : undefined;
    return typeof key === "string" && key !== "" ? key : undefined;
  } catch {
    return undefined;
  }
}

/** True where the operator lets calendars stand on private networks and speak plain HTTP. */
export function privateCalendarsAllowed(): boolean {
  return Deno.env.get("SAUTI_ALLOW_PRIVATE_CALDAV") === "1";
}

/** Address of the client app, for links; null when the operator has not told it. */
export function appUrl(): string | null {
  const text = Deno.env.get("SAUTI_APP_URL") ?? "";
  return /^https?:\/\//.test(text) && URL.canParse(text) && !/[\s"<>]/.test(text) ? text.replace(/\/+$/, "") : null;
}

export interface Captcha {
  readonly url: string;
  readonly secret: string;
}

/** Who judges CAPTCHA tokens, Turnstile unless told otherwise; null where the operator asks for none. */
export function captcha(): Captcha | null {
  const secret = Deno.env.get("SAUTI_CAPTCHA_SECRET");
  if (!secret) return null;
  return {
    secret,
    url: Deno.env.get("SAUTI_CAPTCHA_URL") || "https://challenges.cloudflare.com/turnstile/v0/siteverify",
  };
}
