import type { StandardSchema } from "@sluice/core"
import * as v from "valibot"

/** The message that says so: small, since the order itself is in the database. */
export interface OrderPlaced {
  readonly orderId: string
  readonly placedAt: string
}

/** Checked at send and again at read. Any Standard Schema does: zod, arktype, or this one. */
export const orderPlaced: StandardSchema<OrderPlaced> = v.object({
  orderId: v.pipe(v.string(), v.nonEmpty()),
  placedAt: v.pipe(v.string(), v.isoTimestamp()),
})
