"""Configuration files as data that knows its lines: TOML, JSON (with comments), YAML, and a Python module.

document   what was read, and on which line each value stands
read       the file's name tells its format
toml       lines of TOML (the values are tomllib's)
json       JSON with comments, as PM2 takes it
yaml       YAML, if the extra forkcluster[yaml] is installed
python     a module, evaluated in a short-lived child (`evaluate`)
  write      the way back: TOML from values
"""
