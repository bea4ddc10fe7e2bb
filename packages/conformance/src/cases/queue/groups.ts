import type { ConformanceCase } from "../../case.ts"
import { adminCases } from "./admin.ts"
import { byIdCases } from "./by-id.ts"
import { deadCases } from "./dead.ts"
import { filterCases } from "./filter.ts"
import { joinedLevelCases } from "./joined-levels.ts"
import { joinedCases } from "./joined.ts"
import { metricsCases } from "./metrics.ts"
import { movingLeaseCases } from "./moving-leases.ts"
import { payloadCases } from "./payloads.ts"
import { pollCases } from "./poll.ts"
import { popCases } from "./pop.ts"
import { readCases } from "./read.ts"
import { sendBatchCases } from "./send-batch.ts"
import { sendCases } from "./send.ts"
import { settleCases } from "./settle.ts"
import { typedCases } from "./typed.ts"
import { unknownQueueCases } from "./unknown-queue.ts"

/** Every operation on messages and queues. */
export const queueCases: readonly ConformanceCase[] = [
  ...sendCases,
  ...sendBatchCases,
  ...readCases,
  ...pollCases,
  ...popCases,
  ...filterCases,
  ...movingLeaseCases,
  ...settleCases,
  ...byIdCases,
  ...deadCases,
  ...metricsCases,
  ...payloadCases,
  ...typedCases,
  ...adminCases,
  ...unknownQueueCases,
]

export const joinedGroupCases: readonly ConformanceCase[] = [...joinedCases, ...joinedLevelCases]
