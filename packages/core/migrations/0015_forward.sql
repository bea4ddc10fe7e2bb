/* How far a forwarder has come with copying a subscription of another stream, perhaps of another cluster: the last batch that it copied, and what
   that was. Written in the transaction that has the copies. subscriptions: what the others of that stream had not done with. */
create table {schema}.forward_position (
  source text primary key,
  batch bigint not null,
  place text not null,
  at timestamptz not null,
  subscriptions jsonb not null
) with (fillfactor = 50)
-- next
/* Streams that have copies. */
create table {schema}.forward_stream (
  source text not null,
  stream int not null references {schema}.queue,
  primary key (source, stream)
)
-- next
/* Copied batches that some subscription of the source has not done with, or so it was when the forwarder last told: their copies stay until then, or until the stream is
   promoted. batch, txids and ids are the source's; txid has the copies. */
create table {schema}.forward_batch (
  source text not null,
  batch bigint not null,
  txid bigint not null,
  txids int8multirange not null,
  from_id bigint not null,
  to_id bigint not null,
  primary key (source, batch)
)
