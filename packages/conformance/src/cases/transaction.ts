import type { ConformanceCase } from "../case.ts"
import { commitCases } from "./transaction-commit.ts"
import { savepointCases } from "./transaction-savepoint.ts"
import { withinCases } from "./transaction-within.ts"

export const transactionCases: readonly ConformanceCase[] = [...commitCases, ...withinCases, ...savepointCases]
