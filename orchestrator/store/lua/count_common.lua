#!lua flags=no-writes
-- count_common: how many entries stand in each of some search indexes.
-- KEYS  the indexes
-- ARGV  -
-- GIVES their number
-- SAFE TO REPEAT: yes, it writes nothing
return redis.call('ZINTERCARD', #KEYS, unpack(KEYS))
