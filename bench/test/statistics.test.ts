import { describe, expect, test } from "vitest"
import { median, medianRatio, quantile, spread } from "../src/statistics.ts"

describe("quantile", () => {
  test("lies between two neighbours in proportion, in whatever order they come", () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5)
    expect(quantile([10, 20], 0.25)).toBe(12.5)
    expect(quantile([3, 1, 2], 0)).toBe(1)
    expect(quantile([3, 1, 2], 1)).toBe(3)
  })

  test("leaves what it is given as it is, and sorts numbers as numbers", () => {
    const values = [100, 9, 20]
    expect(median(values)).toBe(20)
    expect(values).toEqual([100, 9, 20])
  })

  test("is that value of one, and NaN of none", () => {
    expect(quantile([7], 0.99)).toBe(7)
    expect(median([])).toBeNaN()
  })
})

test("spread is the median between the extremes", () => {
  expect(spread([5, 1, 9])).toEqual({ median: 5, min: 1, max: 9 })
})

test("medianRatio compares round with round, so that a slow round slows both", () => {
  expect(medianRatio([50, 5, 50], [100, 10, 100])).toBe(0.5)
  expect(medianRatio([1, 2], [])).toBeNaN()
})
