/* A new version brings new functions; those of each storage are made from them. */
do $$ begin
  perform {schema}.clone_functions(id) from {schema}.storage where id <> 0 and to_regclass('{schema}.message_s' || id) is not null;
end $$
