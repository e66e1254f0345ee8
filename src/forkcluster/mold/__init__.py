"""The mold: a fresh interpreter that loads the app once and forks workers on request."""
