import type { ConformanceGroup } from "../case.ts"
import { budgetCases } from "./budget.ts"
import { errorCases } from "./errors.ts"
import { isolationCases } from "./isolation.ts"
import { lifecycleCases } from "./lifecycle.ts"
import { listenCases } from "./listen.ts"
import { onceCases } from "./once.ts"
import { queueBudgetCases } from "./queue/budget.ts"
import { concurrencyCases } from "./queue/concurrency.ts"
import { coreErrorCases } from "./queue/core-errors.ts"
import { fencingCases } from "./queue/fencing.ts"
import { joinedGroupCases, queueCases } from "./queue/groups.ts"
import { scheduleCases } from "./queue/schedules.ts"
import { streamBudgetCases } from "./stream/budget.ts"
import { streamCases } from "./stream/groups.ts"
import { subscriberCases } from "./subscriber/handling.ts"
import { transactionalSubscriberCases } from "./subscriber/transactional.ts"
import { transactionCases } from "./transaction.ts"
import { workerBudgetCases } from "./worker/budget.ts"
import { transactionalWorkerCases, workerCases } from "./worker/groups.ts"
import { wireCases } from "./wire.ts"

export type GroupName =
  | "wire" | "errors" | "transaction" | "listen" | "isolation" | "lifecycle" | "budget"
  | "queue" | "fencing" | "core errors" | "joined" | "concurrency" | "schedules" | "once" | "queue budget"
  | "stream" | "stream budget"
  | "worker" | "transactional worker" | "worker budget" | "subscriber" | "transactional subscriber"

/** Every case of the kit, in the order in which a driver grows. */
export const groups: readonly (ConformanceGroup & { readonly name: GroupName })[] = [
  { name: "wire", cases: wireCases },
  { name: "errors", cases: errorCases },
  { name: "transaction", cases: transactionCases },
  { name: "listen", cases: listenCases },
  { name: "isolation", cases: isolationCases },
  { name: "lifecycle", cases: lifecycleCases },
  { name: "budget", cases: budgetCases },
  { name: "queue", cases: queueCases },
  { name: "fencing", cases: fencingCases },
  { name: "core errors", cases: coreErrorCases },
  { name: "joined", cases: joinedGroupCases },
  { name: "concurrency", cases: concurrencyCases },
  { name: "schedules", cases: scheduleCases },
  { name: "once", cases: onceCases },
  { name: "queue budget", cases: queueBudgetCases },
  { name: "stream", cases: streamCases },
  { name: "stream budget", cases: streamBudgetCases },
  { name: "worker", cases: workerCases },
  { name: "transactional worker", cases: transactionalWorkerCases },
  { name: "worker budget", cases: workerBudgetCases },
  { name: "subscriber", cases: subscriberCases },
  { name: "transactional subscriber", cases: transactionalSubscriberCases },
]
