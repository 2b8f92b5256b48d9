#!lua
-- unpark: give the parked events of a workflow back to the inbox in order; the last of them ends the quarantine.
-- KEYS  w park ev
-- ARGV  limit
-- GIVES OK moved left | UNKNOWN
-- SAFE TO REPEAT: yes, repeat until nothing is left
local w, park, ev = KEYS[1], KEYS[2], KEYS[3]
local known = redis.call('HMGET', w, 'v', 'q', 'qu')
if not known[1] then return {'UNKNOWN'} end
local entries = redis.call('XRANGE', park, '-', '+', 'COUNT', ARGV[1])
-- What has come in since and is not parked yet is younger than all that was: it goes behind. Not when an earlier call has
-- given some back already (qu): those are in the inbox too, and older.
local younger, wid = {}, string.match(w, '}:w:(.*)$')
local from = known[2] and not known[3] and redis.call('XLEN', park) == #entries and '-'
while from do
  local page = redis.call('XRANGE', ev, from, '+', 'COUNT', 1000)
  for i = 1, #page do
    local fields = page[i][2]
    if fields[3] == 'w' and fields[4] == wid then younger[#younger + 1] = page[i] end
  end
  from = #page == 1000 and '(' .. page[1000][1]
end
redis.call('XLEN', ev)

for i = 1, #entries do
  redis.call('XADD', ev, '*', unpack(entries[i][2]))
  redis.call('XDEL', park, entries[i][1])
end
for i = 1, #younger do
  redis.call('XADD', ev, '*', unpack(younger[i][2]))
  redis.call('XDEL', ev, younger[i][1])
end
-- Its owner may hold the ids that the younger ones had until now: the next commit looks whether its events are there (qm).
if #younger > 0 then redis.call('HSET', w, 'qm', '1') end
local left = redis.call('XLEN', park)
if left == 0 then
  redis.call('HDEL', w, 'q', 'qe', 'qt', 'qu')
  redis.call('UNLINK', park)
else
  redis.call('HSET', w, 'qu', '1')
end
return {'OK', #entries, left}
