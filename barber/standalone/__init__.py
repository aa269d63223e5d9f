"""Everything on one machine: an embedded Postgres, workers and the console as child processes."""
