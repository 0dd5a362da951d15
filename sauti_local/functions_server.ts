// Serves every Edge Function of a folder from one process, as the hosted platform does from many.
//
// Arguments: port, folder, names of the functions. A function calls Deno.serve(handler) when its module is loaded, as it
// would on the platform; here that call only registers the handler. Requests come as /<function>/<rest>.

type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

const [port, folder, ...names] = Deno.args;
const handlers = new Map<string, Handler>();
const listen = Deno.serve.bind(Deno);

function handlerOf(values: unknown[]): Handler {
  const given = values.find((value) => typeof value === "function") ??
    (values[0] as { handler?: unknown } | undefined)?.handler;
  if (typeof given !== "function") throw new TypeError("Deno.serve was called without a handler");
  return given as Handler;
}

function registerFor(name: string) {
  return (...values: unknown[]) => {
    handlers.set(name, handlerOf(values));
    return { finished: new Promise<void>(() => {}), shutdown: async () => {}, ref() {}, unref() {} };
  };
}

function answer(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, { status });
}

Object.defineProperty(globalThis, "EdgeRuntime", {
  value: { waitUntil: (task: Promise<unknown>) => void task.catch((error) => console.error(error)) },
});
// One function's forgotten promise must not end the others.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  console.error(event.reason);
});

for (const name of names) {
  Object.defineProperty(Deno, "serve", { value: registerFor(name), configurable: true, writable: true });
  try {
    await import(new URL(`${encodeURIComponent(name)}/index.ts`, `file://${encodeURI(folder)}/`).href);
  } catch (error) {
    console.error(`function ${name} does not load:`, error);
  }
}

listen({ hostname: "127.0.0.1", port: Number(port), onListen: () => {} }, async (request, info) => {
  const name = new URL(request.url).pathname.split("/")[1];
  if (name === "") return new Response(null, { status: 204 });
  if (!names.includes(name)) return answer(404, "NOT_FOUND", "Requested function was not found");
  const handler = handlers.get(name);
  if (handler === undefined) return answer(503, "BOOT_ERROR", "Function failed to start (please check logs)");
  try {
    return await handler(request, info);
  } catch (error) {
    console.error(`function ${name}:`, error);
    return answer(500, "WORKER_ERROR", "Function exited due to an error (please check logs)");
  }
});
