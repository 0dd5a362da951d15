/** For tests: what a call refuses with. */

import { type ErrorBody, RequestError } from "../../supabase/functions/_shared/errors.ts";

/** The registered error that `call` ends in; fails when it ends in anything else. */
export async function refusal(call: () => unknown): Promise<ErrorBody> {
  try {
    await call();
  } catch (error) {
    if (error instanceof RequestError) return error.body;
    throw error;
  }
  throw new Error("was not refused");
}
