import { builtinModules } from "node:module"

// What an application pays for core, minified and compressed. Node's own modules cost nothing.
const ignore = builtinModules.map((name) => `node:${name}`)

export default [{ name: "@sluice/core", path: "packages/core/dist/index.js", limit: "125 kB", ignore }]
