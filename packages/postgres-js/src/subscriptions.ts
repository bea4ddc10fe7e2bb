import type { Driver, Unlisten } from "@sluice/core"

type Listen = NonNullable<Driver["listen"]>

/** Keeps account of what listens: those connections are the driver's own, so that its `close` ends them. */
export function subscriptions(listen: Listen): { listen: Listen; end(): Promise<void> } {
  const open = new Set<Promise<Unlisten>>()
  return {
    listen: async (...subscription) => {
      const opening = listen(...subscription)
      open.add(opening)
      try {
        const unlisten = await opening
        return () => (open.delete(opening), unlisten())
      } catch (error) {
        open.delete(opening)
        throw error
      }
    },
    end: async () => {
      const ended = [...open].map((opening) => opening.then((unlisten) => unlisten()).catch(() => {}))
      open.clear()
      await Promise.all(ended)
    },
  }
}
