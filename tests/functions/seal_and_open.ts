/**
 * The functions' half of the test that both languages read each other's ciphertexts.
 *
 * Reads `{"seal": <object>}` or `{"open": <ciphertext>}` with `userId` from standard input, writes JSON.
 */

import { open, seal } from "../../supabase/functions/_shared/credentials.ts";

interface Order {
  readonly userId: string;
  readonly seal?: Record<string, unknown>;
  readonly open?: string;
}

const order = await new Response(Deno.stdin.readable).json() as Order;
const owner = { userId: order.userId, provider: "caldav" } as const;
const result = order.seal === undefined ? await open(order.open ?? "", owner) : await seal(order.seal, owner);
await new Blob([JSON.stringify(result)]).stream().pipeTo(Deno.stdout.writable);
