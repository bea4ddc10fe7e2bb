import { StaleLeaseError } from "../errors.ts"
import { MessageCancelledError } from "../work-errors.ts"
import type { Session } from "../session.ts"
import type { WakeHub } from "../wake-hub.ts"
import type { BeatAnswer } from "./beat.ts"
import type { CallHost } from "./call-handler.ts"
import type { Emitter } from "../emitter.ts"
import type { WorkerEvents } from "./events.ts"
import { createExecutor } from "./execute.ts"
import type { Handler } from "./handler.ts"
import type { Held } from "./held.ts"
import { createLane, type Lane, type LaneHost } from "./lane.ts"

/** What a worker is to one of its queues. */
export interface PartHost extends Pick<CallHost, "worker" | "calls">, Pick<LaneHost, "places" | "prefetch" | "longestPause" | "stopping" | "begin" | "ended"> {
  readonly concurrency: number
  readonly emitter: Emitter<WorkerEvents>
  /** A result was kept. */
  onResult(): void
  /** Of the last beat. */
  answer(): BeatAnswer | undefined
  /** Whether what the last beat told is recent, or could be asked. */
  isInformed(): Promise<boolean>
  happened(): number
  onHappened(): void
  onIdle(): void
}

/** One queue of a worker, and what is held of it. */
export interface Part {
  readonly queue: string
  /** Milliseconds; undefined is the queue's. */
  readonly lease: number | undefined
  readonly held: ReadonlySet<Held>
  readonly lane: Lane
  /** What had happened when a claim last began that found nothing. */
  idleAt(): number
  /** What a beat was answered that told of `asked`. */
  learn(answer: BeatAnswer, asked: readonly Held[]): void
}

export function createPart<Tx>(session: Session<Tx>, hub: WakeHub, { queue, spec }: Handler<Tx>, host: PartHost): Part {
  const { emit } = host.emitter
  const held = new Set<Held>()
  let idleAt = -1
  const info = (): BeatAnswer["queues"][string] | undefined => host.answer()?.queues[queue]

  const executor = createExecutor(session, queue, spec, {
    ...host,
    onBegin: ({ message }) => emit("start", { message }),
    lease: () => spec.lease ?? info()?.lease ?? 30_000,
    onInvalid: () => info()?.onInvalid ?? "deadLetter",
    keepsResults: () => info()?.results ?? false,
    onTrouble: (error) => emit("error", { error, queue }),
    onLeft: (one) => {
      held.delete(one)
      host.onHappened()
    },
  })

  const lane = createLane(queue, spec, Math.min(spec.concurrency ?? host.concurrency, host.concurrency), hub, {
    ...host,
    run: executor.run,
    giveBack: executor.giveBack,
    mayClaim: () => host.answer()?.state !== "suspended",
    mayBegin: async () => (await host.isInformed()) && host.answer()?.state === "running" && info()?.paused === false,
    onClaimed: (helds) => {
      const ids = new Set(helds.map(({ message }) => message.id))
      // Its lease ran out while we held it, and here it is again.
      for (const one of held) if (ids.has(one.message.id)) lose(one)
      for (const one of helds) held.add(one)
      host.onHappened()
    },
    mark: host.happened,
    onIdle: (mark) => {
      idleAt = mark
      emit("idle", { queue })
      host.onIdle()
    },
    onError: (error) => emit("error", { error, queue }),
  })

  /** A call goes on while one of its messages is worth it. */
  function doom(one: Held, doomed: NonNullable<Held["doomed"]>, reason: Error): void {
    one.doomed = doomed
    if (one.mates.every((mate) => mate.doomed !== undefined)) one.controller?.abort(reason)
  }

  function lose(one: Held): void {
    doom(one, "lost", new StaleLeaseError(queue, one.message.id, one.message.lease))
  }

  function learn({ state, queues, lost, cancelled }: BeatAnswer, asked: readonly Held[]): void {
    if (state !== "running" || queues[queue]?.paused === true) void lane.giveBack()
    else lane.pump()
    // Not one that was claimed since, under a newer lease.
    const byId = new Map(asked.filter((one) => held.has(one)).map((one) => [one.message.id, one]))
    for (const id of lost) if (byId.has(id)) lose(byId.get(id)!)
    for (const id of cancelled) if (byId.has(id)) doom(byId.get(id)!, { to: "cancel" }, new MessageCancelledError(queue, id))
  }

  return { queue, lease: spec.lease, held, lane, idleAt: () => idleAt, learn }
}
