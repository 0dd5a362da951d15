/**
 * What Cal.com tells about the bookings of one professional.
 *
 * Two RPCs, not one: the database keeps the webhook's secret as a ciphertext and holds no key, so the ciphertext has to
 * come here before a signature can be checked.
 */

import { readBytes } from "../_shared/body.ts";
import { open } from "../_shared/credentials.ts";
import { failure } from "../_shared/errors.ts";
import { json } from "../_shared/responses.ts";
import { type Route, route } from "../_shared/router.ts";
import { isSigned, sha256 } from "../_shared/signature.ts";
import { callAsService, isUuid } from "../_shared/upstream.ts";

/** Bookings with many attendees and answers are long; nothing of Cal.com's is longer than this. */
const MAX_BODY_BYTES = 256 * 1024;
const SIGNATURE = "x-cal-signature-256";

/** A wrong signature, none at all and an unknown professional are the same `not_authenticated`. */
async function receive(request: Request, params: { readonly professional_id: string }): Promise<Response> {
  const body = await readBytes(request, MAX_BODY_BYTES);
  const professionalId = params.professional_id.toLowerCase();
  const secret = await webhookSecret(professionalId);
  if (!await isSigned(body, request.headers.get(SIGNATURE), secret ?? crypto.randomUUID()) || secret === null) {
    throw failure("not_authenticated", "The signature is missing or not of this webhook's secret.", {
      hint: `Set the webhook's secret in Cal.com; it signs the raw body in ${SIGNATURE}.`,
    });
  }
  const outcome = await callAsService("apply_cal_com_event", {
    professional_id: professionalId,
    event: parse(body),
    body_hash: await sha256(body),
  });
  return json(outcome);
}

async function webhookSecret(professionalId: string): Promise<string | null> {
  if (!isUuid(professionalId)) return null;
  const ciphertext = await callAsService("cal_com_secret", { professional_id: professionalId });
  if (typeof ciphertext !== "string") return null;
  const secret = (await open(ciphertext, { userId: professionalId, provider: "cal_com" }))["webhook_secret"];
  return typeof secret === "string" ? secret : null;
}

/** The event, or null for what is no JSON. NUL and lone surrogates, which Postgres cannot store, cost no booking. */
function parse(body: Uint8Array<ArrayBuffer>): unknown {
  try {
    return JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(body),
      (_, value) => typeof value === "string" ? value.replaceAll("\0", "").toWellFormed() : value,
    );
  } catch {
    return null;
  }
}

export const webhookRoutes: readonly Route[] = [route("POST", "/cal-com-webhook/:professional_id", receive)];
