import type { ConformanceCase } from "../../case.ts"
import { concurrencyCases } from "./concurrency.ts"
import { controlCases } from "./control.ts"
import { lifecycleCases } from "./lifecycle.ts"
import { outcomeCases } from "./outcomes.ts"
import { transactionalBatchCases } from "./transactional-batch.ts"
import { transactionalLeaseCases } from "./transactional-leases.ts"
import { transactionalCases } from "./transactional.ts"
import { wakeCases } from "./wake.ts"

/** Every way of working off queues but by transactions. */
export const workerCases: readonly ConformanceCase[] = [...lifecycleCases, ...concurrencyCases, ...outcomeCases, ...controlCases, ...wakeCases]

/** Work in transactions of the user's own library. */
export const transactionalWorkerCases: readonly ConformanceCase[] = [...transactionalCases, ...transactionalBatchCases, ...transactionalLeaseCases]
