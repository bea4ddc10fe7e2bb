/**
 * A block from `-- leaf v_live` to `-- end` becomes three branches: over the one leaf of the message table that readers
 * visit, or over its parent while there are two. A statement on the parent would lock both leaves for as long as the
 * caller's transaction lives, and the one that is not visited could then never be truncated.
 */
export function expandLeaves(text: string): string {
  return text.replace(/^([ \t]*)-- leaf (\w+)\n([\s\S]*?)^[ \t]*-- end\n/gm, (_, indent: string, live: string, block: string) => {
    const over = (table: string): string => block.replace(/\bmessage\b/g, table).replace(/^(?=.)/gm, "  ")
    return `${indent}if ${live} = '{0}' then
${over("message_0")}${indent}elsif ${live} = '{1}' then
${over("message_1")}${indent}else
${over("message")}${indent}end if;
`
  })
}
