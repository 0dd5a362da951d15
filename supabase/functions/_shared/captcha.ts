/** Asks a judge of CAPTCHAs, in the protocol that Turnstile, hCaptcha and reCAPTCHA share, about a visitor's token. */

import { type Fields, optionalText } from "./body.ts";
import { failure } from "./errors.ts";
import { captcha } from "./settings.ts";

const TIMEOUT_MILLISECONDS = 5_000;
const FIELD = "captcha_token";

/** Passes when no CAPTCHA is asked for or the token is good; else `invalid_input`. A silent judge is `unavailable`. */
export async function requireCaptcha(fields: Fields, address: string | null): Promise<void> {
  const judge = captcha();
  if (judge === null) return;
  const token = optionalText(fields, FIELD, 4096);
  if (token === undefined) throw failure("invalid_input", `The field ${FIELD} is missing.`);
  const form = new URLSearchParams({ secret: judge.secret, response: token });
  if (address !== null) form.set("remoteip", address);
  if (!await isGood(judge.url, form)) {
    throw failure("invalid_input", "The CAPTCHA was not solved, or too long ago.", { hint: "Solve it again." });
  }
}

async function isGood(url: string, form: URLSearchParams): Promise<boolean> {
  let verdict: unknown;
  try {
    const response = await fetch(url, {
      method: "POST",
      body: form,
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
    });
    verdict = response.ok ? await response.json() : await response.body?.cancel();
  } catch {
    verdict = undefined;
  }
  if (typeof verdict !== "object" || verdict === null) {
    throw failure("unavailable", "The CAPTCHA cannot be checked at the moment.");
  }
  return (verdict as { success?: unknown }).success === true;
}
