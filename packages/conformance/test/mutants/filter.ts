import type { QueueMutant } from "./queue.ts"

/** Of reads with a filter. */
export const filterMutants: readonly QueueMutant[] = [
  {
    name: "a filter on headers is ignored",
    caughtBy: "read with a filter takes what matches headers, payload or both, in order, and leaves the others as they were",
    within: "lock_ready",
    from: " and (v_headers is null or coalesce(m.headers, '{}') @> v_headers)",
    to: "",
  },
  {
    name: "a filter on the payload is ignored",
    caughtBy: "popBatch with a filter takes what matches headers, payload or both, in order, and leaves the others as they were",
    within: "lock_ready",
    from: " and (v_payload is null or m.payload @> v_payload)",
    to: "",
  },
  {
    name: "a filter on the payload asks for the whole of it",
    caughtBy: "a filter on the payload is containment: nested objects, arrays in any order, scalars of their own type",
    within: "lock_ready",
    from: "m.payload @> v_payload",
    to: "m.payload = v_payload",
  },
  {
    name: "a read takes the first message, whatever its filter",
    caughtBy: "a filter finds one match behind many that do not",
    within: "try_read",
    from: "v_now, p_filter)",
    to: "v_now, null)",
  },
  {
    name: "a match at its limit is delivered once more",
    caughtBy: "a match at its limit of attempts is buried, and the next match is delivered",
    within: "try_read",
    from: "m.attempt < q.max_attempts)",
    to: "m.attempt < q.max_attempts or p_filter is not null)",
  },
]
