"""Options: each declared once, read from flags, environment, `forkcluster.toml` and defaults, and frozen.

Shared by the terminal and the master; knows nothing of either. It imports no application code.

  table      every option, declared once
  kinds      what a value may be, and how it is read from text, from TOML and from JSON
  frozen     the result: `Options`, `Request`, `Launch`, with their JSON form
  read       the four sources, in order of strength, into one result that knows where each value came from
  file       forkcluster.toml
  envfile    files of variables for the application
  discover   what to serve when nobody said
  address    what may stand after --bind
  cpus       how many CPUs this process may use
  logconfig  the application's own logging set-up (--log-config)
"""
