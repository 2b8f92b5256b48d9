#!lua
-- suspect: count how often an owner has begun these events; after a crash, whoever keeps dying is found by its count.
-- KEYS  own
-- ARGV  epoch owner event_id ...
-- GIVES FENCED | OK count ... in the order of the ids
-- SAFE TO REPEAT: a repeat counts once more, which quarantines sooner but never wrongly loses an event
local own = redis.call('HMGET', KEYS[1], 'e', 'o')
if own[1] ~= ARGV[1] or own[2] ~= ARGV[2] then return {'FENCED'} end
local fields = {}
for i = 3, #ARGV do fields[#fields + 1] = 'try:' .. ARGV[i] end
if #fields == 0 then return {'OK'} end
local counts, reply = redis.call('HMGET', KEYS[1], unpack(fields)), {'OK'}
local pairs_ = {}
for i = 1, #fields do
  local count = (tonumber(counts[i]) or 0) + 1
  reply[#reply + 1] = count
  pairs_[#pairs_ + 1] = fields[i]
  pairs_[#pairs_ + 1] = string.format('%d', count)
end
redis.call('HSET', KEYS[1], unpack(pairs_))
return reply
