/** Connecting a Cal.com account: its webhook signs with a secret, which is stored encrypted. */

import { readFields, requireText } from "../_shared/body.ts";
import { requireTokenKeys, seal } from "../_shared/credentials.ts";
import { failure } from "../_shared/errors.ts";
import { json } from "../_shared/responses.ts";
import { type Route, route } from "../_shared/router.ts";
import { project } from "../_shared/settings.ts";
import { callAsService, requireUser } from "../_shared/upstream.ts";

const MAX_LINK = 500;

/** `{booking_link, webhook_secret}` → `{webhook_url}`, where Cal.com is to send its events. */
async function connectCalCom(request: Request): Promise<Response> {
  const user = await requireUser(request);
  const fields = await readFields(request);
  const link = requireText(fields, "booking_link", MAX_LINK);
  const secret = requireText(fields, "webhook_secret", 1000);
  const url = URL.canParse(link) ? new URL(link) : null;
  if (url?.protocol !== "https:" || url.username !== "" || url.password !== "" || url.href.length > MAX_LINK) {
    throw failure("invalid_input", "The field booking_link has to be an https address.");
  }
  await requireTokenKeys();
  await callAsService("store_cal_com_connection", {
    user_id: user.id,
    booking_link: url.href,
    secret: await seal({ webhook_secret: secret }, { userId: user.id, provider: "cal_com" }),
  });
  return json({ webhook_url: `${project().url}/functions/v1/cal-com-webhook/${user.id}` });
}

export const calComRoutes: readonly Route[] = [route("POST", "/api/calendar/cal-com", connectCalCom)];
