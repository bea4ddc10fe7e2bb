import type { ConformanceCase } from "../case.ts"
import { wireRows } from "./wire-rows.ts"
import { wireTexts } from "./wire-texts.ts"
import { wireValues } from "./wire-values.ts"

/** Values, statement texts and rows, exactly as core writes and reads them. */
export const wireCases: readonly ConformanceCase[] = [...wireValues, ...wireTexts, ...wireRows]
