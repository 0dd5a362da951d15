/** The log of the functions: one line of JSON per thing that went wrong, names and codes only, never what a caller sent. */

export function logError(event: string, facts: Readonly<Record<string, string | number | null>>): void {
  // deno-lint-ignore no-console
  console.error(JSON.stringify({ level: "error", event, ...facts }));
}
