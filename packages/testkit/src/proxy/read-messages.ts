/** Finds the message borders in a stream of bytes without keeping the bodies. */
export interface MessageReader {
  push(chunk: Buffer): void
  /** The next byte is a message of its own: the server's answer to an SSLRequest. */
  expectByte(): void
}

/** Calls `onMessage` with each message's type as its header arrives. A start-up message has no letter, but a code. */
export function readMessages(startsBare: boolean, onMessage: (type: string) => void): MessageReader {
  let bare = startsBare
  let skip = 0
  let lone = false
  let header: number[] = []

  const readHeader = (byte: number): void => {
    header.push(byte)
    if (header.length < (bare ? 8 : 5)) return
    const bytes = Buffer.from(header)
    header = []
    if (!bare) {
      skip = bytes.readUInt32BE(1) - 4
      return onMessage(String.fromCharCode(bytes[0]!))
    }
    const code = bytes.readUInt32BE(4)
    skip = bytes.readUInt32BE(0) - 8
    bare = code === sslRequest || code === gssRequest // the real start-up message is still to come
    onMessage(String(code))
  }

  return {
    push(chunk) {
      for (let at = 0; at < chunk.length; ) {
        if (skip > 0) {
          const step = Math.min(skip, chunk.length - at)
          skip -= step
          at += step
        } else if (lone) {
          lone = false
          at++
        } else {
          readHeader(chunk[at++]!)
        }
      }
    },
    expectByte() {
      lone = true
    },
  }
}

export const sslRequest = 80877103
export const gssRequest = 80877104
