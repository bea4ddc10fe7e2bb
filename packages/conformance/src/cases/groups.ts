import type { ConformanceGroup } from "../case.ts"
import { budgetCases } from "./budget.ts"
import { errorCases } from "./errors.ts"
import { isolationCases } from "./isolation.ts"
import { lifecycleCases } from "./lifecycle.ts"
import { listenCases } from "./listen.ts"
import { transactionCases } from "./transaction.ts"
import { wireCases } from "./wire.ts"

export type GroupName = "wire" | "errors" | "transaction" | "listen" | "isolation" | "lifecycle" | "budget"

/** Every case of the kit, in the order in which a driver grows. */
export const groups: readonly (ConformanceGroup & { readonly name: GroupName })[] = [
  { name: "wire", cases: wireCases },
  { name: "errors", cases: errorCases },
  { name: "transaction", cases: transactionCases },
  { name: "listen", cases: listenCases },
  { name: "isolation", cases: isolationCases },
  { name: "lifecycle", cases: lifecycleCases },
  { name: "budget", cases: budgetCases },
]
