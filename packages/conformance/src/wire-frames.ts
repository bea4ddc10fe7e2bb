/** Cuts a byte stream of the Postgres protocol into messages: a type byte (none at start-up), a length, a body. */
export function wireFrames(startup: boolean, onMessage: (type: string, body: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  let typed = !startup
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (;;) {
      const head = typed ? 1 : 0
      if (rest.length < head + 4) return
      const end = head + rest.readInt32BE(head)
      if (rest.length < end) return
      onMessage(typed ? String.fromCharCode(rest[0]!) : "startup", rest.subarray(head + 4, end))
      rest = rest.subarray(end)
      typed = true
    }
  }
}

/** The zero-terminated texts that a message begins with. */
export function leadingTexts(body: Buffer, count: number): string[] {
  const texts: string[] = []
  let from = 0
  while (texts.length < count) {
    const end = body.indexOf(0, from)
    if (end < 0) break
    texts.push(body.toString("utf8", from, end))
    from = end + 1
  }
  return texts
}
