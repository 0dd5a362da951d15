/** The function `api`: HTTP for what a client cannot do through the Data API alone. Each route ends in one RPC. */

import { router } from "../_shared/router.ts";
import { appointmentRoutes } from "./appointments.ts";
import { calComRoutes } from "./cal_com.ts";
import { calendarRoutes } from "./calendar.ts";
import { changeRoutes } from "./changes.ts";
import { oauthRoutes } from "./oauth.ts";

Deno.serve(router([...appointmentRoutes, ...calendarRoutes, ...calComRoutes, ...changeRoutes, ...oauthRoutes]));
