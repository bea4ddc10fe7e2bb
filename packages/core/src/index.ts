export type {
  ArchiveAccessor,
  ArchivedMessage,
  ArchiveFilter,
  AttemptError,
  MessageFilter,
  MessageInfo,
  MessagesAccessor,
  MessageState,
  Outcome,
  Page,
  PageOptions,
  Progress,
  QueueFilter,
  QueuesAccessor,
} from "./admin/inspect.ts"
export type { CaptureAdmin, CaptureOptions } from "./admin/capture.ts"
export type { PromotedSubscription } from "./admin/promote.ts"
export type { RestoreOptions, RestoreResult } from "./admin/restore.ts"
export type { CreateStreamOptions, ExternalTick, LagLimit, LagOptions, StreamInfo, StreamOptions, StreamsAdmin, StreamState } from "./admin/streams.ts"
export type { CreateSubscriptionOptions, DeadEvent, OpenBatchInfo, Position, SubscriptionInfo, SubscriptionsAdmin, SubscriptionSettings, SubscriptionSetup } from "./admin/subscriptions.ts"
export type { Admin } from "./admin/admin.ts"
export type { Backoff } from "./admin/backoff.ts"
export type { Limits, RateLimit } from "./admin/limits.ts"
export type { InstallOptions, InstallResult, MigrationSql } from "./admin/install.ts"
export type { MessageWrites } from "./admin/messages.ts"
export type { CreatedQueueInfo, CreateQueueOptions, DropQueueOptions, QueueInfo, QueueOptions } from "./admin/queues.ts"
export type { DeadMessage, RedriveOptions } from "./admin/redrive.ts"
export type { Roles } from "./admin/roles.ts"
export type { Partition, PartitionById, PartitionByTime, QueueStorage, StorageOptions } from "./admin/storage-options.ts"
export type { UninstallOptions } from "./admin/uninstall.ts"
export type { Verification } from "./admin/verify.ts"
export type { PurgeWorkersOptions, WorkerFilter, WorkerHealth, WorkerInfo, WorkersAccessor, WorkerState } from "./admin/workers.ts"
export { createClient } from "./client.ts"
export type { Client, ClientOptions } from "./client.ts"
export type { Driver, QueryOptions, SqlExecutor, SqlValue, Unlisten } from "./driver.ts"
export type { Duration } from "./duration.ts"
export {
  AbortedError,
  ConnectionError,
  DeadLetterCycleError,
  DependencyFailedError,
  InvalidNameError,
  InvalidOptionError,
  IsolationLevelError,
  KeyConflictError,
  PayloadInvalidError,
  PayloadTooLargeError,
  PermissionDeniedError,
  QueueAlreadyExistsError,
  QueueInUseError,
  QueueNotFoundError,
  QueueOptionsDifferError,
  RateLimitedError,
  SchemaNotEmptyError,
  SchemaNotInstalledError,
  SchemaVersionError,
  SluiceError,
  StaleLeaseError,
  StatementCancelledError,
  StorageFixedError,
  WrongKindError,
} from "./errors.ts"
export {
  HandlerTimeoutError,
  MessageCancelledError,
  MessageFailedError,
  PoolTooSmallError,
  ScheduleNotFoundError,
  ResultTimeoutError,
  WorkerNotFoundError,
  WorkerStateError,
  WorkerStoppedError,
} from "./work-errors.ts"
export type { OptionDifference } from "./errors.ts"
export type { PayloadLimits } from "./json.ts"
export type { Leased, Message, PoppedMessage } from "./message.ts"
export type { MaintenanceReport, StuckSubscription } from "./maintenance/maintain.ts"
export type { Maintenance, MaintenanceOptions } from "./maintenance/maintenance.ts"
export type { OnceOptions, OnceResult } from "./once.ts"
export type { CancelOutcome } from "./queue/cancel.ts"
export type { ReadFilter } from "./queue/filter.ts"
export type { DeadLetterOptions, RetryOptions, RetryResult } from "./queue/give-back.ts"
export type { QueueMetrics } from "./queue/metrics.ts"
export type { PopBatchOptions } from "./queue/pop.ts"
export type { Queue, QueueTypes, WorkOptions } from "./queue/queue.ts"
export type { PollOptions } from "./queue/read-with-poll.ts"
export type { ReadBatchOptions, ReadOptions } from "./queue/read.ts"
export type { EditOutcome, MessageChanges } from "./queue/edit.ts"
export type { BatchItem } from "./queue/send-batch.ts"
export type { SendRate } from "./queue/send-rate.ts"
export type { MessageOptions, SendOptions } from "./queue/send.ts"
export type { Predecessor, SpecialOptions } from "./queue/send-with.ts"
export type { SettleOptions, SettleResult } from "./queue/settle.ts"
export type { Registration, RegisterOptions, WorkerOrder } from "./registry/register.ts"
export type { ScheduleInfo } from "./schedules/schedule-info.ts"
export type { CronTiming, IntervalTiming, MissedRuns, PreviewOptions, ScheduleOptions, ScheduleTiming } from "./schedules/schedule-options.ts"
export type { ScheduleFilter, Schedules } from "./schedules/schedules.ts"
export type { ResultOptions } from "./results.ts"
export { sqlState } from "./sql-state.ts"
export {
  ForwardBehindError,
  RestoredElsewhereError,
  StaleBatchError,
  StreamClosedError,
  StreamInUseError,
  StreamNotFoundError,
  SubscriptionExpiredError,
  SubscriptionNotFoundError,
  TickNotFoundError,
  TransactionLimitError,
} from "./stream-errors.ts"
export type { Batch, EventRetryOptions, FinishResult } from "./stream/batch.ts"
export type { EventOf, EventSchemas, EventTypes, StreamEvent, TypesOf } from "./stream/event.ts"
export type { ForwardedEvent, ForwardedMessage, ForwardItem, ForwardOptions, ForwardResult, ForwardTarget } from "./stream/forward.ts"
export type { BatchLimits } from "./stream/next-batch.ts"
export type { EventOptions, PublishItem, PublishOptions } from "./stream/publish.ts"
export type { Stream, StreamTypes } from "./stream/stream.ts"
export type { LoopOptions, Subscription, SubscriptionOptions } from "./stream/subscription.ts"
export type { SubscriberEvents } from "./subscriber/events.ts"
export type { EventContext, EventHandlers, EventTransactionContext } from "./subscriber/handlers.ts"
export type { SubscriberOptions } from "./subscriber/options.ts"
export type { Subscriber } from "./subscriber/subscriber.ts"
export type { SchemaIssue, SchemaResult, StandardSchema } from "./standard-schema.ts"
export type { Json, JsonObject, TxOption } from "./types.ts"
export type { WorkerEvents } from "./worker/events.ts"
export type { BatchHandlerOptions, Handler, HandlerContext, HandlerOptions, MessageContext, TransactionContext } from "./worker/handler.ts"
export type { WorkerOptions } from "./worker/options.ts"
export { outcome } from "./worker/outcome.ts"
export type { HandlerOutcome, Outcomes, RetryOutcome } from "./worker/outcome.ts"
export type { StopOptions, Worker } from "./worker/worker.ts"
