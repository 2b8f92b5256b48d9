#!lua flags=no-writes
-- view: a workflow as it is committed, with the dispatch truth of its open tasks, all of one moment.
-- KEYS  w d
-- ARGV  fields_max
-- GIVES OK {field value ...} {suffix text ...} | TOO_BIG version | UNKNOWN
-- SAFE TO REPEAT: yes, it writes nothing
local fields = redis.call('HLEN', KEYS[1])
if fields == 0 then return {'UNKNOWN'} end
if fields > tonumber(ARGV[1]) then return {'TOO_BIG', redis.call('HGET', KEYS[1], 'v')} end
return {'OK', redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}
