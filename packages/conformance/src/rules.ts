/**
 * What the driver contract asks for, one sentence per rule. Every case names the rule that it proves, and a failure
 * prints it. The README explains each under a heading of the same name.
 */
export const rules = {
  "one-statement": "query() runs exactly one statement, once, as it is written, with $1…$n",
  "values-in": "values go to the server as they are: string, finite number, boolean or null",
  "values-out":
    "text, int4, float8 and bool come back as string, number, number and boolean, whatever the client's parsers",
  rows: "query() returns an array of plain objects with the column names untouched; no rows is []",
  names: "a name is a stable id of one text; a driver may prepare by it, and the result is the same",
  "own-errors": "a failed statement rejects with the library's own error, SQLSTATE reachable by walking `cause`",
  "usable-after-error": "an error leaves the driver usable",
  within: "within(tx) runs in the transaction it was given and never begins, commits or rolls back",
  "no-lost-tx": "within(undefined) throws: a lost transaction must never become a statement outside of one",
  transaction: "transaction() commits when work resolves and rolls back when it rejects, with the same error",
  "commit-or-reject": "transaction() rejects if the commit did not commit, also when work swallowed an error",
  savepoint: "a rolled-back savepoint takes its own work with it and keeps the transaction usable",
  listen: "listen() delivers every payload of its channel, named exactly, until it is ended",
  "listen-apart": "listen() uses a connection of its own, never one of the user's pool, and closes it at the end",
  "listen-again": "listen() reconnects by itself and runs onReady after every (re)connect",
  isolation: "a driver works in a transaction of any isolation level and changes none",
  "no-leaks": "nothing stays behind: no connection, no open transaction, no handle of the process",
  close: "close() ends only what the driver opened itself",
  "no-global-state": "a driver leaves the user's client, its parsers and its library as they were",
  budget: "a warm statement outside a transaction costs one round trip; nothing is sent that was not asked for",
  core: "everything that Sluice promises holds over the driver; a failure here alone is most likely Sluice's own",
  hops: "what one driver sends, every other reads unchanged and settles",
} as const

export type Rule = keyof typeof rules
