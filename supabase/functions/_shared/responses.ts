/** Responses: JSON, never cached, readable by browsers of any origin (authority is in the token, not in a cookie). */

import type { RequestError } from "./errors.ts";

const COMMON: Readonly<Record<string, string>> = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Expose-Headers": "Allow",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
};

export function json(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { ...COMMON, "Content-Type": "application/json; charset=utf-8", ...headers },
  });
}

export function plainText(text: string): Response {
  return new Response(text, { headers: { ...COMMON, "Content-Type": "text/plain; charset=utf-8" } });
}

export function noContent(): Response {
  return new Response(null, { status: 204, headers: COMMON });
}

export function preflight(methods: readonly string[]): Response {
  return new Response(null, {
    status: 204,
    headers: {
      ...COMMON,
      "Access-Control-Allow-Methods": [...methods, "OPTIONS"].join(", "),
      "Access-Control-Allow-Headers": "authorization, apikey, content-type, x-client-info, x-region, accept-language",
      "Access-Control-Max-Age": "600",
    },
  });
}

export function failed(error: RequestError): Response {
  return json(error.body, error.status, error.headers);
}
