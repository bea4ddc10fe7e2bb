import type { ConformanceCase } from "../../case.ts"
import { batchCases } from "./batches.ts"
import { captureCases } from "./capture.ts"
import { streamFencingCases } from "./fencing.ts"
import { streamJoinedCases } from "./joined.ts"
import { publishCases } from "./publish.ts"
import { valueCases } from "./values.ts"

/** Every operation on streams and their subscriptions. */
export const streamCases: readonly ConformanceCase[] = [...publishCases, ...valueCases, ...batchCases, ...streamFencingCases, ...streamJoinedCases, ...captureCases]
