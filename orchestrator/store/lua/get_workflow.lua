#!lua flags=no-writes
-- get_workflow: one version of a workflow definition, or the latest.
-- KEYS  wf:<name> wfs (of the catalog)
-- ARGV  name version('' = latest)
-- GIVES version json | nothing
-- SAFE TO REPEAT: yes, reads only
local version = ARGV[2]
if version == '' then version = redis.call('HGET', KEYS[2], ARGV[1]) end
local stored = version and redis.call('HGET', KEYS[1], version)
return stored and {version, stored} or {}
