import type { QueueMutant } from "./queue.ts"

/** Of writes by id. */
export const byIdMutants: readonly QueueMutant[] = [
  {
    name: "setVt by id keeps the lease",
    caughtBy: "by id, setVt to later overrides a lease: what its holder does next is stale",
    within: "try_admin_set_vt",
    from: ", lease = null",
    to: "",
  },
  {
    name: "setVt by id writes a time in the past",
    caughtBy: "by id, setVt makes a message delayed, ready now, or ready at a time, and nobody holds it",
    within: "try_admin_set_vt",
    from: "greatest($3, $4, $3 + $5)",
    to: "coalesce($4, $3 + $5)",
  },
  {
    name: "delete by id spares what is held",
    caughtBy: "by id, delete overrides a lease: what its holder does next is stale",
    within: "try_admin_delete",
    from: "m.id = any ($2)",
    to: "m.id = any ($2) and m.lease is null",
  },
  {
    name: "delete by id reaches into every queue",
    caughtBy: "by id, a message is reached by the name of its own queue alone",
    within: "try_admin_delete",
    from: "m.queue = $1",
    to: "m.queue <> -$1",
  },
  {
    name: "messages archived by id lose their errors",
    caughtBy: "by id, archive keeps all of the message with outcome done, delayed and leased ones alike",
    within: "try_admin_archive",
    from: "payload, errors, group_name, key from gone",
    to: "payload, null, group_name, key from gone",
  },
  {
    name: "an archive by id leaves the message where it is",
    caughtBy: "by id, archive overrides a lease: what its holder does next is stale",
    within: "try_admin_archive",
    from: "delete from %I m where m.queue = $1 and m.id = any ($2) returning m.*",
    to: "select m.* from %I m where m.queue = $1 and m.id = any ($2)",
  },
]
