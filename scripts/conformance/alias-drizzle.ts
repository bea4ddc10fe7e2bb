// node --import ./alias-drizzle.ts: every `drizzle-orm` is the package that SLUICE_DRIZZLE names, the driver's own too.
import { registerHooks } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"

const standIn = process.env.SLUICE_DRIZZLE
const parentURL = pathToFileURL(join(import.meta.dirname, "../../packages/drizzle/package.json")).href

if (standIn) {
  registerHooks({
    resolve: (specifier, context, next) =>
      /^drizzle-orm(\/|$)/.test(specifier)
        ? next(specifier.replace("drizzle-orm", standIn), { ...context, parentURL })
        : next(specifier, context),
  })
}
