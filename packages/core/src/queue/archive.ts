export const archiveStatement = {
  name: "archive",
  text: "select fault::text as fault, id::text as id from {schema}.try_archive($1::text, $2::text::bigint[], $3::text::bigint[])",
}
