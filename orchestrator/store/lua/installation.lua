#!lua
-- installation: record how this installation is laid out when it is new, and read what was recorded.
-- KEYS  meta (of the catalog)
-- ARGV  partitions schema oldest_reader
-- GIVES partitions schema oldest_reader, as recorded
-- SAFE TO REPEAT: yes, the first writer decides
local recorded = redis.call('HMGET', KEYS[1], 'partitions', 'schema', 'oldest_reader')
if recorded[1] then return recorded end
redis.call('HSET', KEYS[1], 'partitions', ARGV[1], 'schema', ARGV[2], 'oldest_reader', ARGV[3])
return {ARGV[1], ARGV[2], ARGV[3]}
