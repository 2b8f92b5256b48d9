#!lua flags=no-writes
-- view: a workflow as it is committed, with the dispatch truth of its open tasks, all of one moment.
-- KEYS  w t d
-- ARGV  records_max
-- GIVES OK {field value ...} {record ...} {suffix text ...} | TOO_BIG {field value ...} records | UNKNOWN
-- SAFE TO REPEAT: yes, it writes nothing
local fields = redis.call('HGETALL', KEYS[1])
if #fields == 0 then return {'UNKNOWN'} end
local records = redis.call('HLEN', KEYS[2])
if records > tonumber(ARGV[1]) then return {'TOO_BIG', fields, records} end
return {'OK', fields, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3])}
