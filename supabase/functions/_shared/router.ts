/**
 * A router for functions with several addresses. The path begins with the function's name, as on the platform:
 * `/functions/v1/api/calendar/caldav` arrives as `/api/calendar/caldav`.
 *
 * One module per group of routes exports its `Route[]`; the function's index.ts joins them.
 */

import { failure, RequestError } from "./errors.ts";
import { logError } from "./log.ts";
import { failed, preflight } from "./responses.ts";

export type Method = "GET" | "HEAD" | "POST" | "DELETE";

/** The names behind the colons of a path: `Params<"/api/calendar/:id">` = `"id"`. */
type Params<Path extends string> = Path extends `${infer Head}/${infer Tail}` ? Params<Head> | Params<Tail>
  : Path extends `:${infer Name}` ? Name
  : never;

export type Handler<Name extends string = string> = (
  request: Request,
  params: Readonly<Record<Name, string>>,
) => Promise<Response>;

export interface Route {
  readonly method: Method;
  readonly path: string;
  readonly handle: Handler;
}

export function route<const Path extends string>(method: Method, path: Path, handle: Handler<Params<Path>>): Route {
  return { method, path, handle: handle as Handler };
}

/** The parameters, or null when the path is another one. A segment that is no valid percent-encoding matches nothing. */
export function match(path: string, pathname: string): Record<string, string> | null {
  const wanted = path.split("/");
  const given = pathname.replace(/(?<=.)\/$/, "").split("/");
  if (wanted.length !== given.length) return null;
  const params: Record<string, string> = {};
  for (const [index, segment] of wanted.entries()) {
    const value = given[index] ?? "";
    if (!segment.startsWith(":")) {
      if (segment !== value) return null;
      continue;
    }
    if (value === "") return null;
    try {
      params[segment.slice(1)] = decodeURIComponent(value);
    } catch {
      return null;
    }
  }
  return params;
}

/** Answers every request, whatever happens: a thrown `RequestError` as itself, anything else as `internal_error`. */
export function router(routes: readonly Route[]): (request: Request) => Promise<Response> {
  return async (request) => {
    try {
      return await dispatch(routes, request);
    } catch (error) {
      if (error instanceof RequestError) return failed(error);
      // The name alone: the message of a network or parse error can quote addresses and bodies.
      const name = error instanceof Error ? error.name : typeof error;
      logError("unexpected_error", { error: name });
      return failed(failure("internal_error", "Something went wrong on this server."));
    }
  };
}

async function dispatch(routes: readonly Route[], request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const methods = new Set<Method>();
  for (const candidate of routes) {
    const params = match(candidate.path, pathname);
    if (params === null) continue;
    if (candidate.method === request.method) return await candidate.handle(request, params);
    methods.add(candidate.method);
  }
  if (methods.size === 0) throw failure("not_found", "There is nothing at this address.");
  if (request.method === "OPTIONS") return preflight([...methods]);
  throw failure("method_not_allowed", "This address does not take that method.", {
    headers: { Allow: [...methods, "OPTIONS"].join(", ") },
  });
}
