import { inject } from "vitest"
import "@sluice/testkit/vitest"

/** A server the kit may make databases on. */
export const serverUrl: string = inject("serverUrl")
