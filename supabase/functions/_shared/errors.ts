/**
 * Errors as the database speaks them: `{code, message, details, hint}`, `code` = `PT` + the HTTP status.
 *
 * `details` is a plain sentence without personal data and without anything another server said: an answer must not
 * tell a caller what stands behind an address.
 */

interface Registered {
  readonly status: number;
  readonly hint: string;
}

const REGISTRY = {
  not_authenticated: { status: 401, hint: "Sign in and send the access token of the session." },
  not_found: { status: 404, hint: "Check the address and the id." },
  method_not_allowed: { status: 405, hint: "See the Allow header for the methods of this address." },
  invalid_input: { status: 422, hint: "Correct the request and send it again." },
  too_many_requests: { status: 429, hint: "Wait a moment and try again." },
  internal_error: { status: 500, hint: "Try again; if it stays so, tell the people who run this server." },
  unavailable: { status: 503, hint: "Try again later." },
} as const satisfies Record<string, Registered>;

export type ErrorSymbol = keyof typeof REGISTRY;

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly details: string | null;
  readonly hint: string | null;
}

/** An answer other than success. Whoever throws it has made sure that `body` reveals nothing. */
export class RequestError extends Error {
  constructor(
    readonly status: number,
    readonly body: ErrorBody,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(body.message);
    this.name = "RequestError";
  }
}

export function failure(
  symbol: ErrorSymbol,
  details: string,
  options: { readonly hint?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): RequestError {
  const { status, hint } = REGISTRY[symbol];
  return new RequestError(
    status,
    { code: `PT${status}`, message: symbol, details, hint: options.hint ?? hint },
    options.headers,
  );
}
