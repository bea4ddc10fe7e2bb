import { Pool } from "pg"

export function openPool(url: string, max: number, name = "sluice stress"): Pool {
  const pool = new Pool({ connectionString: url, max, application_name: name })
  pool.on("error", () => {}) // an idle connection that was terminated
  pool.on("connect", (connection) => connection.on("error", () => {})) // one that is lent: what is asked of it rejects
  return pool
}
