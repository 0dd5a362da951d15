/** The function `cal-com-webhook`: takes Cal.com's events, which prove themselves by a signature and not by a token. */

import { router } from "../_shared/router.ts";
import { webhookRoutes } from "./webhook.ts";

Deno.serve(router(webhookRoutes));
