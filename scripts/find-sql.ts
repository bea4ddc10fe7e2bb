export interface FoundSql {
  readonly line: number
  readonly text: string
}

const commentOrString = /\/\/.*|\/\*[^]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g

// Transaction control, LISTEN and UNLISTEN match nothing here: a driver may say them.
const objects =
  "or\\s+replace|unlogged|temp|table|function|index|unique|schema|type|extension|trigger|view|sequence|role|database"
const commands =
  "truncate|notify|explain|copy|call|lock|vacuum|grant|reset|show|values|merge|prepare|deallocate|discard"
const statements = new RegExp(
  [
    String.raw`\bselect\s`,
    String.raw`\binsert\s+into\s`,
    String.raw`\bupdate\s+\S+\s+set\s`,
    String.raw`\bdelete\s+from\s`,
    String.raw`\bwith\s+\w+\s+as\s*\(`,
    String.raw`\b(?:create|alter|drop)\s+(?:${objects})\b`,
    String.raw`^.\s*(?:${commands})\s`,
    String.raw`\bset\s+(?:local|session|search_path|role)\b`,
    String.raw`\bpg_\w+\s*\(`,
    String.raw`\bset_config\b`,
  ].join("|"),
  "i",
)

/** The string literals of a TypeScript source that hold SQL beyond what a driver may say. */
export function findSql(source: string): FoundSql[] {
  const found: FoundSql[] = []
  for (const match of source.matchAll(commentOrString)) {
    const [text] = match
    if (text.startsWith("/") || !statements.test(text) || /^.select 1.$/i.test(text)) continue
    found.push({ line: source.slice(0, match.index).split("\n").length, text })
  }
  return found
}
