#!lua
-- release: give a partition back at once, so that its next owner need not wait for the lease to end.
-- KEYS  own
-- ARGV  epoch owner
-- GIVES OK | FENCED
-- SAFE TO REPEAT: yes, the repeat is FENCED and changes nothing
local own = redis.call('HMGET', KEYS[1], 'e', 'o')
if own[1] ~= ARGV[1] or own[2] ~= ARGV[2] then return {'FENCED'} end
redis.call('HSET', KEYS[1], 'o', '', 'x', '0')
return {'OK'}
