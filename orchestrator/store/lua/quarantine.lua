#!lua
-- quarantine: put a workflow that cannot be decided aside: its events wait in park, the reason stands in its record.
-- KEYS  own ev w park
-- ARGV  epoch owner reason event_id ... (reason '' = it is in quarantine already, park these events too)
-- GIVES FENCED | OK parked | UNKNOWN | CORRUPT | FREE (reason '' and not in quarantine any more: decide on it again; or it
--       is not in quarantine and none of the events is in the inbox: whatever went wrong with them is not its state)
-- SAFE TO REPEAT: yes, events that are gone are passed over and the first reason stays
--@include now
local own, ev, w, park = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local owner = redis.call('HMGET', own, 'e', 'o')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return {'FENCED'} end
local known = redis.pcall('HMGET', w, 'v', 'q')
if known.err then return {'CORRUPT'} end
if not known[1] then return {'UNKNOWN'} end
if ARGV[3] == '' and not known[2] then return {'FREE'} end
redis.call('XLEN', park)
local found = {}
for i = 4, #ARGV do
  local entry = redis.call('XRANGE', ev, ARGV[i], ARGV[i])[1]
  if entry then found[#found + 1] = entry end
end
if not known[2] and #ARGV > 3 and #found == 0 then return {'FREE'} end

if not known[2] then redis.call('HSET', w, 'q', ARGV[3], 'qe', ARGV[4] or '', 'qt', string.format('%d', now)) end
for i = 1, #found do
  redis.call('XADD', park, '*', unpack(found[i][2]))
  redis.call('XDEL', ev, found[i][1])
  redis.call('HDEL', own, 'try:' .. found[i][1])
end
return {'OK', #found}
