export const deleteStatement = {
  name: "delete",
  text: "select fault::text as fault, id::text as id from {schema}.try_delete($1::text, $2::text::bigint[], $3::text::bigint[])",
}
