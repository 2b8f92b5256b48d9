#!lua
-- dead_letter: move events that belong to no workflow out of the inbox, with the reason.
-- KEYS  own ev dlq
-- ARGV  epoch owner reason event_id ...
-- GIVES FENCED | OK moved
-- SAFE TO REPEAT: yes, events that are gone are passed over
--@include now
local own, ev, dlq = KEYS[1], KEYS[2], KEYS[3]
local owner = redis.call('HMGET', own, 'e', 'o')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return {'FENCED'} end
redis.call('XLEN', dlq)
local found = {}
for i = 4, #ARGV do
  local entry = redis.call('XRANGE', ev, ARGV[i], ARGV[i])[1]
  if entry then found[#found + 1] = entry end
end

for i = 1, #found do
  redis.call('XADD', dlq, '*', 'reason', ARGV[3], 'at', string.format('%d', now), unpack(found[i][2]))
  redis.call('XDEL', ev, found[i][1])
  redis.call('HDEL', own, 'try:' .. found[i][1])
end
return {'OK', #found}
