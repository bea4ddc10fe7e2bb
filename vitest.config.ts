import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "apps/*/test/**/*.test.ts", "bench/test/**/*.test.ts", "stress/test/**/*.test.ts", "examples/*/test/**/*.test.ts", "scripts/test/**/*.test.ts"],
    globalSetup: ["packages/testkit/src/global-setup.ts"],
    reporters: ["default", ["json", { outputFile: ".vitest/report.json" }]],
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 40_000,
  },
})
