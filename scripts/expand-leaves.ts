/**
 * A block from `-- leaf v_live` to `-- end` becomes three branches: over the one leaf of the message table that readers
 * visit, or over its parent while there are two. A statement on the parent would lock both leaves for as long as the
 * caller's transaction lives, and the one that is not visited could then never be truncated.
 *
 * Where it looks for `m.id = any (ids)`, another three are for servers before 17. They may search the primary key by the
 * queue alone and filter by the array, over all messages of the queue, where statistics say that there are few. There,
 * nothing is left to choose: a block that says `-- leaf v_live each ids` takes one id after the other, and any other has
 * locked its messages and looks up where they are.
 */
export function expandLeaves(text: string): string {
  return text.replace(/^([ \t]*)-- leaf (\w+)(?: each (\w+))?\n([\s\S]*?)^[ \t]*-- end\n/gm, (_, indent: string, live: string, each: string | undefined, block: string) => {
    if (!SEARCH.test(block)) return branches(indent, live, block)
    const inner = `${indent}  `
    const without = each === undefined ? branches(inner, live, deeper(block.replace(SEARCH, place))) : loop(inner, each, branches(`${inner}  `, live, deeper(deeper(block.replace(SEARCH, one)))))
    return `${indent}if searches_arrays() then
${branches(inner, live, deeper(block))}${indent}else
${without}${indent}end if;
`
  })
}

const SEARCH = /\bm\.queue = q\.id and m\.id = any \((\w+)\)/

const deeper = (block: string): string => block.replace(/^(?=.)/gm, "  ")

function branches(indent: string, live: string, block: string): string {
  const over = (table: string): string => deeper(block.replace(/\bmessage\b/g, table))
  return `${indent}if ${live} = '{0}' then
${over("message_0")}${indent}elsif ${live} = '{1}' then
${over("message_1")}${indent}else
${over("message")}${indent}end if;
`
}

const loop = (indent: string, ids: string, body: string): string => `${indent}for v_i in 1 .. cardinality(${ids}) loop
${body}${indent}end loop;
`

const one = (_: string, ids: string): string => `m.queue = q.id and m.id = ${ids}[v_i]`

/** The ids are ascending. Each is looked at once more, since other partitions have rows at the same places. */
function place(_: string, ids: string): string {
  const places = `select p.ctid from unnest(${ids}) i(id), lateral (select y.ctid from message y where y.queue = q.id and y.id = i.id offset 0) p`
  return `m.ctid = any (array(${places}))\n       and m.id = ${ids}[width_bucket(m.id, ${ids})]`
}
