/** The function `calendar-feed`: ICS subscriptions. The secret is in the address, since calendar programs send no token. */

import { router } from "../_shared/router.ts";
import { feedRoutes } from "./subscription.ts";

Deno.serve(router(feedRoutes));
