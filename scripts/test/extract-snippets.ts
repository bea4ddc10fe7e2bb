export interface Snippet {
  /** The word after `ts` on the fence. */
  readonly name: string
  readonly code: string
}

/** The TypeScript blocks of a Markdown text that have a name: those are meant to run. */
export function extractSnippets(markdown: string): Snippet[] {
  const blocks = markdown.matchAll(/^```ts ([\w-]+)\n(.*?)^```$/gms)
  return [...blocks].map(([, name, code]) => ({ name: name ?? "", code: code ?? "" }))
}

/** TypeScript blocks that would never be compiled. */
export function unnamedSnippets(markdown: string): number {
  return markdown.match(/^```(ts|typescript|js|javascript)$/gm)?.length ?? 0
}
